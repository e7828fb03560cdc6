package intake

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lonja/kit/errs"
)

// saga takes up what was admitted, one after the other.
type saga struct {
	mu    sync.Mutex
	queue []string
	gate  *Gate
	waits []time.Duration
	since map[string]time.Time
}

func (s *saga) place(ctx context.Context, id string) error {
	w, err := s.gate.Admit(ctx, id)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.queue = append(s.queue, id)
	s.since[id] = time.Now()
	s.mu.Unlock()
	w.Started(1)
	return nil
}

// runs takes up one after the other, each for as long as pace says, until ctx ends. A pace of 0
// means that the saga is down.
func (s *saga) runs(ctx context.Context, pace func() time.Duration) {
	for ctx.Err() == nil {
		time.Sleep(max(pace(), 100*time.Microsecond)) // in the bubble's time
		s.mu.Lock()
		if pace() == 0 || len(s.queue) == 0 {
			s.mu.Unlock()
			continue
		}
		id := s.queue[0]
		s.queue = s.queue[1:]
		s.waits = append(s.waits, time.Since(s.since[id]))
		s.mu.Unlock()
		s.gate.Changed(id, 2)
	}
}

// callers post without pause, and go on at once when they are turned away after the time that
// they are told.
func (s *saga) callers(ctx context.Context, n int, each time.Duration) (posts *sync.WaitGroup, refused func() int) {
	var group sync.WaitGroup
	var mu sync.Mutex
	turnedAway := 0
	for c := range n {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				err := s.place(ctx, fmt.Sprintf("%d-%d", c, i))
				var r *errs.Error
				if errors.As(err, &r) && r.Code == errs.Unavailable {
					mu.Lock()
					turnedAway++
					mu.Unlock()
					select {
					case <-time.After(time.Duration(r.RetryAfter) * time.Second):
					case <-ctx.Done():
					}
					continue
				}
				select {
				case <-time.After(each):
				case <-ctx.Done():
				}
			}
		})
	}
	return &group, func() int { mu.Lock(); defer mu.Unlock(); return turnedAway }
}

func newSaga() *saga { return &saga{gate: New(time.Second, nil), since: map[string]time.Time{}} }

func (s *saga) longest(from int) (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waits[min(from, len(s.waits)):] {
		longest = max(longest, w)
	}
	return longest
}

// Whatever is offered above what is carried, who is let in waits no longer than three seconds,
// and the saga never runs dry.
func TestWhoIsLetInWaitsNoLongerThanThreeSeconds(t *testing.T) {
	for _, c := range []struct {
		callers     int
		each, takes time.Duration
	}{
		{12, 10 * time.Millisecond, 2 * time.Millisecond},  // 1,200/s offered, 500/s carried
		{64, 10 * time.Millisecond, 2 * time.Millisecond},  // 6,400/s
		{200, 10 * time.Millisecond, 5 * time.Millisecond}, // 20,000/s offered, 200/s carried
		{200, 10 * time.Millisecond, 50 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%d callers, %v", c.callers, c.takes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				s := newSaga()
				posts, _ := s.callers(ctx, c.callers, c.each)
				posts.Go(func() { s.runs(ctx, func() time.Duration { return c.takes }) })
				time.Sleep(time.Minute)
				cancel()
				posts.Wait()
				if got := s.longest(0); got > 3*time.Second {
					t.Errorf("somebody who was let in waited %v", got)
				}
				carried := time.Minute / c.takes
				if n := time.Duration(len(s.waits)); n < carried*8/10 {
					t.Errorf("%d were taken up of %d that could have been", n, carried)
				}
			})
		})
	}
}

// While less is offered than can be carried, nobody is held.
func TestNobodyIsHeldWithoutNeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSaga()
		posts, refused := s.callers(ctx, 10, 25*time.Millisecond) // 400/s offered, 500/s carried
		posts.Go(func() { s.runs(ctx, func() time.Duration { return 2 * time.Millisecond }) })
		time.Sleep(time.Minute)
		cancel()
		posts.Wait()
		if refused() > 0 || s.longest(0) > time.Second/10 {
			t.Errorf("%d were turned away, and somebody waited %v: %+v", refused(), s.longest(0), s.gate.State())
		}
	})
}

// When nothing is taken up at all, a service is down: everything is accepted, as without a gate.
// When it is back, what was accepted is taken up first, and new work is held until the wait is
// short again.
func TestAnOutageIsNoOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSaga()
		var mu sync.Mutex
		takes := 2 * time.Millisecond
		pace := func() time.Duration { mu.Lock(); defer mu.Unlock(); return takes }
		set := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); takes = d }
		posts, refused := s.callers(ctx, 10, 50*time.Millisecond) // 200/s
		posts.Go(func() { s.runs(ctx, pace) })
		time.Sleep(5 * time.Second)
		set(0)
		time.Sleep(30 * time.Second)
		if refused() > 0 {
			t.Errorf("%d were turned away in the outage: %+v", refused(), s.gate.State())
		}
		set(2 * time.Millisecond)
		time.Sleep(30 * time.Second)
		s.mu.Lock()
		caughtUp := len(s.waits)
		s.mu.Unlock()
		time.Sleep(10 * time.Second)
		if got := s.longest(caughtUp); got > time.Second {
			t.Errorf("after the outage somebody waited %v: %+v", got, s.gate.State())
		}
		cancel()
		posts.Wait()
	})
}

// Work that is never taken up, such as an order that became a dead letter, holds nobody.
func TestWhatIsStuckHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSaga()
		for i := range 20 {
			w, err := s.gate.Admit(ctx, fmt.Sprint("stuck", i))
			if err != nil {
				t.Fatal(err)
			}
			w.Started(1)
		}
		posts, refused := s.callers(ctx, 10, 25*time.Millisecond)
		posts.Go(func() { s.runs(ctx, func() time.Duration { return 2 * time.Millisecond }) })
		time.Sleep(time.Minute)
		if refused() > 0 {
			t.Errorf("%d were turned away: %+v", refused(), s.gate.State())
		}
		cancel()
		posts.Wait()
	})
}

// A change may be seen before the sender knows that the event is recorded.
func TestAChangeMayBeSeenBeforeTheStart(t *testing.T) {
	g := New(time.Second, nil)
	for _, steps := range [][]func(*Work){
		{func(w *Work) { w.Started(7) }, func(*Work) { g.Changed("a", 7) }, func(*Work) { g.Changed("a", 9) }},
		{func(*Work) { g.Changed("a", 9) }, func(w *Work) { w.Started(7) }},
		{func(w *Work) { w.Drop() }},
	} {
		w, err := g.Admit(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range steps {
			if g.State().Waiting != 1 {
				t.Fatalf("it is over too early: %+v", g.State())
			}
			step(w)
		}
		if g.State().Waiting != 0 {
			t.Errorf("it is not over: %+v", g.State())
		}
		w.Drop() // has no effect then
	}
}

// A service that dies lets a little through at first: what it had begun. Who comes in that moment
// is not turned away for it, even if the gate was narrow.
func TestAnOutageThatBeginsSlowlyTurnsNobodyAway(t *testing.T) {
	for last := range 20 {
		synctest.Test(t, func(t *testing.T) {
			s := newSaga()
			var posts sync.WaitGroup
			arrive := func(n int, name string) {
				for i := range n {
					posts.Go(func() {
						if err := s.place(t.Context(), fmt.Sprint(name, i)); err != nil {
							t.Errorf("%s%d was turned away: %v", name, i, err)
						}
					})
				}
			}
			arrive(minLimit, "first")
			synctest.Wait()
			arrive(8, "later") // have to wait at the gate
			time.Sleep(time.Duration(last) * 50 * time.Millisecond)
			for i := range 3 { // the last that are taken up
				s.gate.Changed(fmt.Sprint("first", i), 2)
			}
			time.Sleep(3 * time.Second)
			posts.Wait()
		})
	}
}
