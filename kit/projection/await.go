package projection

import (
	"context"
	"fmt"
	"time"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// Changed is closed when the rows change for the next time. It may be closed
// without a change, so whoever waits looks and waits again.
func (v *View) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.moved
}

// watch is a key that somebody watches.
type watch struct {
	touched chan struct{}
	held    int // by so many
}

// Watch returns a channel that is closed when a projection next touches a key;
// see Tx.Touch. Like Moved's, it may be closed without a change. Release must be
// called when it is no longer watched.
func (v *View) Watch(key string) (touched <-chan struct{}, release func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w, ok := v.watched[key]
	if !ok {
		w = &watch{touched: make(chan struct{})}
		v.watched[key] = w
	}
	w.held++
	return w.touched, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if w.held--; w.held == 0 && v.watched[key] == w {
			delete(v.watched, key)
		}
	}
}

// hasMoved wakes all who wait for the view, and of those who watch a key, those
// whose key was touched.
func (v *View) hasMoved(touched []Touch) {
	v.mu.Lock()
	v.move()
	for _, t := range touched {
		if w, ok := v.watched[t.Key]; ok {
			close(w.touched)
			delete(v.watched, t.Key)
		}
	}
	v.mu.Unlock()
	if v.config.Touched != nil && len(touched) > 0 {
		v.config.Touched(touched)
	}
}

// move wakes all who wait for the view; it is called inside mu.
func (v *View) move() {
	close(v.moved)
	v.moved = make(chan struct{})
}

// moveAll wakes everybody, since other rows answer now or none; it is called
// inside mu.
func (v *View) moveAll() {
	v.move()
	for _, w := range v.watched {
		close(w.touched)
	}
	clear(v.watched)
}

// Await waits until there is a file to answer from whose rows hold everything
// that the token speaks of, as far as the view reads it. It is an Unavailable
// refusal when ctx ends before, or the view has stopped, and an Invalid one, soon,
// when the token speaks of what is not recorded.
func (v *View) Await(ctx context.Context, token Token) error {
	came, pause := time.Now(), lookAgain
	again := time.NewTimer(pause)
	defer again.Stop()
	for {
		v.mu.Lock()
		f, moved, failed := v.answers, v.moved, v.failed
		v.mu.Unlock()
		var behind *feed
		if f != nil {
			if behind = f.behind(token); behind == nil {
				return nil
			}
		}
		if failed != nil {
			return v.late(behind)
		}
		if behind != nil && behind.isBeyond(token[behind.source.Stream], came) {
			return errs.InvalidField(eventlog.HeaderAfter, "speaks of %s:%d, which is not recorded; ask without it",
				behind.source.Stream, token[behind.source.Stream])
		}
		select {
		case <-moved:
		case <-again.C:
			if behind != nil {
				behind.look(ctx)
			}
			pause = min(2*pause, lookSeldom)
			again.Reset(pause)
		case <-ctx.Done():
			return v.late(behind)
		}
	}
}

// Last is the sequence of the last message on a filter of a stream, as its leader
// knows it, 0 when there is none. It is an Unavailable refusal when that does not
// answer.
func (v *View) Last(ctx context.Context, stream, filter string) (uint64, error) {
	last, err := v.config.Log.Last(ctx, stream, filter)
	return last, unanswered(stream, err)
}

// unanswered is what it means that a stream gave no answer.
func unanswered(stream string, err error) error {
	if _, refused := errs.As(err); err == nil || refused {
		return err
	}
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "stream %s did not answer; try again", stream), err)
}

// CatchUp waits until the rows hold all that is recorded by now. Whoever is about
// to refuse something for want of a row calls it first and looks once more: what is
// not there then did not happen before. Errors are as Await's, and Unavailable when
// a stream does not answer.
func (v *View) CatchUp(ctx context.Context) error {
	now := Token{}
	for _, src := range v.def.Reads {
		end, err := v.config.Log.End(ctx, src.Stream)
		if err != nil {
			return unanswered(src.Stream, err)
		}
		now.And(src.Stream, end)
	}
	return v.Await(ctx, now)
}

// late refuses to wait any longer, for a feed or for anything to answer from.
func (v *View) late(behind *feed) error {
	if behind == nil {
		return v.absent()
	}
	return errs.New(errs.Unavailable, "view %s has not yet caught up with %s; try again", v.def.Name, behind.source.Stream)
}

// Reached reports whether Await would return nil at once.
func (v *View) Reached(token Token) bool {
	v.mu.Lock()
	f := v.answers
	v.mu.Unlock()
	return f != nil && f.behind(token) == nil
}

// Position is how far the rows that answer stand, as a token: whoever saw them
// and asks another replica with it sees no less there.
func (v *View) Position() Token {
	v.mu.Lock()
	f := v.answers
	v.mu.Unlock()
	t := Token{}
	if f != nil {
		for _, feed := range f.feeds {
			if seq := feed.reached.Load(); seq > 0 {
				t.And(feed.source.Stream, seq)
			}
		}
	}
	return t
}

// Answers reports whether there is a file to answer from.
func (v *View) Answers() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.answers != nil
}

// Lag is how many events the rows are behind their streams, for each stream. Of
// a view that answers out of an older file, or none, it is how far the next one
// has yet to go.
func (v *View) Lag(ctx context.Context) (map[string]uint64, error) {
	v.mu.Lock()
	f := v.answers
	if (f == nil || !f.current) && v.building != nil {
		f = v.building
	}
	v.mu.Unlock()
	if f == nil {
		return nil, v.absent()
	}
	lag := make(map[string]uint64, len(f.feeds))
	for _, feed := range f.feeds {
		n, err := feed.lag(ctx)
		if err != nil {
			return nil, err
		}
		lag[feed.source.Stream] = n
	}
	return lag, nil
}
