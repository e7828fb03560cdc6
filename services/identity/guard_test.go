package identity

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"lonja/events"
	"lonja/kit/errs"
)

// hundred is a room for a hundred.
func hundred(time.Duration) int { return 100 }

// guesses tries a wrong password n times, and returns how many tries were let in.
func guesses(t *testing.T, g *guard, x guess, n int) (let int) {
	t.Helper()
	for range n {
		leave, err := g.try(t.Context(), x)
		if err == nil {
			g.wrong(x)
			leave()
			let++
			continue
		}
		if r, ok := errs.As(err); !ok || r.Code != errs.RateLimited || r.RetryAfter < 1 {
			t.Fatalf("refused with %+v", err)
		}
	}
	return let
}

// about reports whether as many were let in as there is credit, and perhaps a few
// more that came back meanwhile.
func about(n, credit int) bool { return n >= credit && n <= credit+credit/2+1 }

func TestWrongPasswordsAreSlowedDownByClientAndAccount(t *testing.T) {
	g := newGuard(hundred)
	if n := guesses(t, g, guess{"usr_ana", "here"}, 100); !about(n, atOneAccount) {
		t.Errorf("%d guesses at one account", n)
	}
	n := 0
	for i := range 100 {
		n += guesses(t, g, guess{events.UserID(fmt.Sprint("usr_", i)), "here"}, 5)
	}
	if !about(n, ofOneClient-atOneAccount) {
		t.Errorf("%d more guesses at many accounts", n)
	}
	if n := guesses(t, g, guess{"usr_bob", "there"}, 1); n != 1 {
		t.Error("others are slowed down, too")
	}
}

func TestAFloodOfGuessesKeepsTheOwnerOutNowhere(t *testing.T) {
	g := newGuard(hundred)
	home, abroad := guess{"usr_ana", "home"}, guess{"usr_ana", "abroad"}
	g.right(home)
	n := 0
	for i := range 1000 {
		n += guesses(t, g, guess{"usr_ana", fmt.Sprint("bot ", i)}, 20)
	}
	// Each bot has one guess once the account is known to be under attack.
	if n > ofStrangers+atOneAccount+1000+50 {
		t.Errorf("a thousand bots had %d guesses", n)
	}
	for _, x := range []guess{home, abroad} {
		leave, err := g.try(t.Context(), x)
		if err != nil {
			t.Fatalf("from %s: %v", x.client, err)
		}
		leave()
	}
	// A friend may mistype as often as if there were no attack.
	if n := guesses(t, g, home, 100); !about(n, atOneAccount) {
		t.Errorf("from home there were %d guesses", n)
	}
}

func TestTheRoomForHashingIsBounded(t *testing.T) {
	r := &newGuard(hundred).room
	size := r.size()
	for i := range size / 2 {
		if !r.take(fmt.Sprint("bot ", i), suspect) {
			t.Fatalf("suspects take %d of %d", i, size)
		}
	}
	if r.take("bot", suspect) {
		t.Errorf("suspects take more than half of %d", size)
	}
	for i := range size / 2 {
		r.count(fmt.Sprint("bot ", i), -1)
	}
	one := 0
	for r.take("flood", stranger) {
		one++
	}
	if one != size/2 {
		t.Errorf("one client takes %d of %d", one, size)
	}
	all := one
	for i := 0; r.take(fmt.Sprint("bot ", i), stranger); i++ {
		all++
	}
	if all != size-size/4 {
		t.Errorf("strangers take %d of %d", all, size)
	}
	if _, err := r.enter(t.Context(), "here", stranger); !errs.Is(err, errs.RateLimited) {
		t.Errorf("one more: %v", err)
	}
	leave, err := r.enter(t.Context(), "home", friend)
	if err != nil {
		t.Fatalf("a friend: %v", err)
	}
	leave()
	if r.all != all || len(r.slots) != 0 {
		t.Errorf("a friend has left, and there are %d of %d, %d of them hashing", r.all, all, len(r.slots))
	}
}

func TestWhoWaitsTooLongToBeHashedIsTold(t *testing.T) {
	r := &newGuard(hundred).room
	for range cap(r.slots) {
		r.slots <- struct{}{}
	}
	if _, err := r.enter(t.Context(), "here", stranger); !errs.Is(err, errs.RateLimited) {
		t.Errorf("when it takes too long: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.enter(ctx, "here", stranger); !errors.Is(err, context.Canceled) {
		t.Errorf("when nobody waits any more: %v", err)
	}
	if r.all != 0 || len(r.by) != 0 {
		t.Errorf("all have left, but %d", r.all)
	}
}

func TestTheRoomIsAsLargeAsHashingIsFast(t *testing.T) {
	p := newPasswords(nil)
	for took, want := range map[time.Duration]int{10 * time.Millisecond: 100 * runtime.NumCPU(), time.Second: runtime.NumCPU(), time.Minute: 1} {
		p.took.Store(int64(took))
		if got := p.within(time.Second); got != want {
			t.Errorf("when one takes %v, there is room for %d, not %d", took, got, want)
		}
	}
	p.took.Store(0)
	if got := p.within(time.Second); got < 1000 {
		t.Errorf("before it is known how fast it is, there is room for %d", got)
	}
	if _, err := p.hash(t.Context(), today, "correct horse", []byte("salt of 16 bytes")); err != nil || p.took.Load() <= 0 {
		t.Errorf("a hash took %d, %v", p.took.Load(), err)
	}
	// However slow it is, there is room for somebody.
	g := newGuard(func(time.Duration) int { return 1 })
	if leave, err := g.try(t.Context(), guess{"usr_ana", "here"}); err != nil {
		t.Error(err)
	} else if leave(); guesses(t, g, guess{"usr_ana", "here"}, 1) != 1 {
		t.Error("the second is turned away")
	}
}

func TestASessionIsRefreshedOnlySoOften(t *testing.T) {
	g := newGuard(hundred)
	n := 0
	for range 100 {
		if g.move("ses_1", "here") == nil {
			n++
		}
	}
	if !about(n, ofOneSession) {
		t.Errorf("%d refreshes", n)
	}
	if err := g.move("ses_2", "here"); err != nil {
		t.Error(err)
	}
}
