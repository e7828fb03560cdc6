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

// hundred is the capacity for a hundred hashes.
func hundred(time.Duration) int { return 100 }

// guess tries a wrong password n times, and returns how many attempts were admitted.
func guess(t *testing.T, th *throttle, a attempt, n int) (admitted int) {
	t.Helper()
	for range n {
		leave, err := th.admit(t.Context(), a)
		if err == nil {
			th.failed(a)
			leave()
			admitted++
			continue
		}
		if e, ok := errs.As(err); !ok || e.Code != errs.RateLimited || e.RetryAfter < 1 {
			t.Fatalf("rejected with %+v", err)
		}
	}
	return admitted
}

// about reports whether n is a burst, and perhaps a few more that came back meanwhile.
func about(n, burst int) bool { return n >= burst && n <= burst+burst/2+1 }

func TestThrottle_LimitsByClientAndAccount(t *testing.T) {
	th := newThrottle(hundred)
	if n := guess(t, th, attempt{"usr_ana", "here"}, 100); !about(n, pairBurst) {
		t.Errorf("%d guesses at one account", n)
	}
	n := 0
	for i := range 100 {
		n += guess(t, th, attempt{events.UserID(fmt.Sprint("usr_", i)), "here"}, 5)
	}
	if !about(n, clientBurst-pairBurst) {
		t.Errorf("%d more guesses at many accounts", n)
	}
	if n := guess(t, th, attempt{"usr_bob", "there"}, 1); n != 1 {
		t.Error("another client is limited, too")
	}
}

func TestThrottle_AttackDoesNotLockTheOwnerOut(t *testing.T) {
	th := newThrottle(hundred)
	home, abroad := attempt{"usr_ana", "home"}, attempt{"usr_ana", "abroad"}
	th.succeeded(home)
	n := 0
	for i := range 1000 {
		n += guess(t, th, attempt{"usr_ana", fmt.Sprint("bot ", i)}, 20)
	}
	// Each bot has one attempt once the account is known to be under attack.
	if n > accountBurst+pairBurst+1000+50 {
		t.Errorf("a thousand bots had %d guesses", n)
	}
	for _, a := range []attempt{home, abroad} {
		leave, err := th.admit(t.Context(), a)
		if err != nil {
			t.Fatalf("from %s: %v", a.client, err)
		}
		leave()
	}
	// A trusted client can mistype as often as without an attack.
	if n := guess(t, th, home, 100); !about(n, pairBurst) {
		t.Errorf("from home there were %d guesses", n)
	}
}

func TestHashQueue_IsBounded(t *testing.T) {
	q := &newThrottle(hundred).queue
	size := q.size()
	for i := range size / 2 {
		if !q.take(fmt.Sprint("bot ", i), suspected) {
			t.Fatalf("suspected clients take %d of %d", i, size)
		}
	}
	if q.take("bot", suspected) {
		t.Errorf("suspected clients take more than half of %d", size)
	}
	for i := range size / 2 {
		q.release(fmt.Sprint("bot ", i))
	}
	one := 0
	for q.take("flood", untrusted) {
		one++
	}
	if one != size/2 {
		t.Errorf("one client takes %d of %d", one, size)
	}
	all := one
	for i := 0; q.take(fmt.Sprint("bot ", i), untrusted); i++ {
		all++
	}
	if all != size-size/4 {
		t.Errorf("untrusted clients take %d of %d", all, size)
	}
	if _, err := q.enter(t.Context(), "here", untrusted); !errs.Is(err, errs.RateLimited) {
		t.Errorf("one more: %v", err)
	}
	leave, err := q.enter(t.Context(), "home", trusted)
	if err != nil {
		t.Fatalf("a trusted client: %v", err)
	}
	leave()
	if q.all != all || len(q.slots) != 0 {
		t.Errorf("after a trusted client has left, there are %d of %d, %d of them hashing", q.all, all, len(q.slots))
	}
}

func TestHashQueue_WaitingTooLongIsRateLimited(t *testing.T) {
	q := &newThrottle(hundred).queue
	for range cap(q.slots) {
		q.slots <- struct{}{}
	}
	if _, err := q.enter(t.Context(), "here", untrusted); !errs.Is(err, errs.RateLimited) {
		t.Errorf("when it takes too long: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := q.enter(ctx, "here", untrusted); !errors.Is(err, context.Canceled) {
		t.Errorf("when the caller is gone: %v", err)
	}
	if q.all != 0 || len(q.byClient) != 0 {
		t.Errorf("all have left, but %d are counted", q.all)
	}
}

func TestHashQueue_SizeFollowsTheSpeedOfHashing(t *testing.T) {
	p := newPasswords(nil)
	for took, want := range map[time.Duration]int{10 * time.Millisecond: 100 * runtime.NumCPU(), time.Second: runtime.NumCPU(), time.Minute: 1} {
		p.took.Store(int64(took))
		if got := p.capacity(time.Second); got != want {
			t.Errorf("when one takes %v, the capacity is %d, not %d", took, got, want)
		}
	}
	p.took.Store(0)
	if got := p.capacity(time.Second); got < 1000 {
		t.Errorf("before the first hash, the capacity is %d", got)
	}
	if _, err := p.hash(t.Context(), currentCost, "correct horse", []byte("salt of 16 bytes")); err != nil || p.took.Load() <= 0 {
		t.Errorf("a hash took %d, %v", p.took.Load(), err)
	}
	// However slow hashing is, there is room for one.
	th := newThrottle(func(time.Duration) int { return 1 })
	if leave, err := th.admit(t.Context(), attempt{"usr_ana", "here"}); err != nil {
		t.Error(err)
	} else if leave(); guess(t, th, attempt{"usr_ana", "here"}, 1) != 1 {
		t.Error("the second is rejected")
	}
}

func TestThrottle_LimitsRefreshesOfASession(t *testing.T) {
	th := newThrottle(hundred)
	n := 0
	for range 100 {
		if th.admitRefresh("ses_1", "here") == nil {
			n++
		}
	}
	if !about(n, sessionBurst) {
		t.Errorf("%d refreshes", n)
	}
	if err := th.admitRefresh("ses_2", "here"); err != nil {
		t.Error(err)
	}
}
