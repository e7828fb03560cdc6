// Package intake holds the beginning of work to what is carried to its end.
//
// A command that starts a process, such as the placing of an order, is cheap; what follows from
// it, in several services, is not. Whoever accepts more than those carry builds a queue, and
// everybody in it waits longer and longer. A [Gate] measures how long work takes until it is
// taken up, and limits how much may wait for that. Above the limit, new work waits for a
// moment at the gate and is then turned away, before anything is recorded.
//
// A gate that sees no progress at all stays open: then a service is down, and what is accepted
// will be taken up when it is back.
package intake

import (
	"context"
	"math"
	"sync"
	"time"

	"lonja/kit/errs"
)

const (
	// interval is the time between two looks at what was measured.
	interval = 250 * time.Millisecond
	// outage is how long nothing may be taken up before that counts as an outage, and the
	// gate opens.
	outage = 750 * time.Millisecond
	// patience is in how many intervals something is taken up while new work waits at the
	// gate, until it is turned away: about a second. Intervals without progress do not count,
	// because they may be the beginning of an outage, which turns nobody away.
	patience = 4
	// minLimit is how much may always wait to be taken up, and the limit to begin with.
	minLimit = 16
	// overtaken is by how much later work must have been admitted that is taken up earlier,
	// for the earlier to count as stuck. It holds nobody any longer.
	overtaken = 10 * time.Second
	// maxTracked is how much is remembered. Beyond it, the oldest is forgotten.
	maxTracked = 50_000
)

// Gate limits how much work waits to be taken up. Create it with New; its methods can be called
// concurrently.
type Gate struct {
	target time.Duration
	now    func() time.Time

	mu      sync.Mutex
	work    map[string]*Work
	oldest  []*Work // in the order of their admission; those that are over are skipped
	freed   chan struct{}
	held    bool // somebody had to wait since the control looked
	control control
	refused uint64
}

// Work is something that was admitted.
type Work struct {
	gate    *Gate
	id      string
	at      time.Time
	started uint64 // the position of its first event, 0 before that is known
	seen    uint64 // the highest position at which it changed
	over    bool
}

// New returns a gate. Target is how long admitted work should wait at most until
// it is taken up; the gate keeps the average near it. A nil clock means time.Now.
func New(target time.Duration, clock func() time.Time) *Gate {
	if clock == nil {
		clock = time.Now
	}
	return &Gate{target: target, now: clock, work: map[string]*Work{}, freed: make(chan struct{}), control: control{target: target, limit: minLimit, last: clock()}}
}

// Admit waits at the gate for new work with an id. The caller must end what is admitted with
// Started or Drop. The error is errs.Unavailable with the time after which another attempt is
// worth it, if there is no room within a second in which other work is taken up, and that of ctx
// if it ends before.
func (g *Gate) Admit(ctx context.Context, id string) (*Work, error) {
	var tick *time.Ticker
	var since int // the intervals with progress before this work came
	for {
		g.mu.Lock()
		g.look()
		if g.hasRoom() {
			w := g.add(id)
			g.mu.Unlock()
			return w, nil
		}
		if tick == nil {
			since = g.control.moved
		}
		if g.held = true; g.control.moved-since >= patience {
			return nil, g.refuse()
		}
		freed := g.freed
		g.mu.Unlock()
		if tick == nil {
			tick = time.NewTicker(interval) // in an outage, nothing is freed
			defer tick.Stop()
		}
		select {
		case <-freed:
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// refuse returns the error for whom there is no room. It unlocks the gate.
func (g *Gate) refuse() error {
	defer g.mu.Unlock()
	g.refused++
	err := errs.New(errs.Unavailable, "more is being asked for than can be carried out at the moment; nothing was recorded, so try again later")
	err.RetryAfter = int(math.Ceil(max(1, min(30, g.control.drains(len(g.work)).Seconds()))))
	return err
}

func (g *Gate) hasRoom() bool { return g.control.limit == 0 || len(g.work) < g.control.limit }

func (g *Gate) add(id string) *Work {
	w := &Work{gate: g, id: id, at: g.now()}
	if before, twice := g.work[id]; twice { // the same command, sent again
		before.over = true
	}
	g.work[id] = w
	g.oldest = append(g.oldest, w)
	if len(g.work) > maxTracked {
		g.end(g.first())
	}
	return w
}

// first returns the oldest work that is not over, nil when there is none.
func (g *Gate) first() *Work {
	for len(g.oldest) > 0 && g.oldest[0].over {
		g.oldest = g.oldest[1:]
	}
	if len(g.oldest) == 0 {
		return nil
	}
	return g.oldest[0]
}

func (g *Gate) end(w *Work) {
	if w.over {
		return
	}
	w.over = true
	delete(g.work, w.id)
	close(g.freed)
	g.freed = make(chan struct{})
}

// Started says that the work's first event is recorded at a position. From then on, it waits to
// be taken up.
func (w *Work) Started(position uint64) {
	g := w.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	w.started = position
	g.settle(w)
}

// Drop says that the work did not begin.
func (w *Work) Drop() {
	g := w.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end(w)
}

// Changed says that the work with an id changed at a position. The first change after its start
// shows that it was taken up. Calls about other work have no effect.
func (g *Gate) Changed(id string, position uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w, ok := g.work[id]; ok {
		w.seen = max(w.seen, position)
		g.settle(w)
	}
}

// settle ends work that was taken up. It may be seen before its start is known.
func (g *Gate) settle(w *Work) {
	if w.over || w.started == 0 || w.seen <= w.started {
		return
	}
	g.control.settled(g.now().Sub(w.at))
	g.end(w)
	for first := g.first(); first != nil && w.at.Sub(first.at) > overtaken; first = g.first() {
		g.end(first)
	}
	g.look()
}

// look lets the control look at what was measured, once in an interval.
func (g *Gate) look() {
	now := g.now()
	if now.Sub(g.control.last) < interval {
		return
	}
	g.first() // forget those that are over
	var age time.Duration
	if n := len(g.oldest); n > 0 {
		age = now.Sub(g.oldest[n/2].at)
	}
	more := g.control.adjust(now, len(g.work), age, g.held)
	if g.held = false; more {
		close(g.freed)
		g.freed = make(chan struct{})
	}
}

// State is what a gate does at the moment.
type State struct {
	Waiting int           // admitted, and not taken up
	Limit   int           // how many of those there may be; 0 means that nothing is taken up at all, and the gate is open
	Wait    time.Duration // how long the last ones waited, on average
	Refused uint64        // how many were turned away since the gate was made
}

// State returns what the gate does at the moment.
func (g *Gate) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look()
	return State{Waiting: len(g.work), Limit: g.control.limit, Wait: g.control.wait, Refused: g.refused}
}
