package projection

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// lookEvery is how often it is looked whether a feed stands still. Rows that do
// not move from one look to the next should have nothing to move for.
const lookEvery = 2 * time.Second

// errStalled ends a consumption that brings nothing although there is more.
var errStalled = errors.New("nothing is delivered although there is more")

// oversee notices that the rows stand still while the stream moves on, whatever
// the reason, or that the stream ends before the rows do. Then the feed stands
// still until the rows move, and begins again if all it does is wait: one that is
// slow, because a batch takes long, is not hurried.
func (f *feed) oversee(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for stood, before := f.reached.Load(), false; ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now := f.reached.Load(); now != stood {
			stood, before = now, false
			continue
		}
		apart, err := f.apart(ctx)
		if err != nil {
			continue // nobody knows
		}
		still := before && apart && f.reached.Load() == stood
		before = apart
		if f.still.Store(still); !still {
			continue
		}
		select {
		case f.again <- struct{}{}:
		default: // it is at it
		}
	}
}

// apart reports whether the stream holds something that is read and not in the
// rows, or less than them, as its leader knows it.
func (f *feed) apart(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	reached := f.reached.Load() // before: others record meanwhile
	stream, err := f.file.config.JetStream.Stream(ctx, f.source.Stream)
	if err != nil {
		return false, err
	}
	switch last := stream.CachedInfo().State.LastSeq; {
	case last < reached:
		return true, nil
	case f.until > 0 && reached >= f.until, last <= max(reached, f.free):
		return false, nil
	case !f.partial.Load():
		return true, nil
	default:
		for _, subject := range f.source.Subjects {
			_, err := f.file.config.Log.Next(ctx, f.source.Stream, subject, max(reached, f.free)+1)
			if err == nil || !errors.Is(err, jetstream.ErrMsgNotFound) {
				return err == nil, err
			}
		}
		f.free = last
		return false, nil
	}
}

// revive does what may help a feed that stood still for the n-th time, without
// having moved between. First it only asks again; then its consumer is made anew;
// then another connection is made.
func (f *feed) revive(n int) {
	if n%3 != 0 {
		return
	}
	if err := f.file.config.JetStream.Conn().ForceReconnect(); err != nil {
		f.file.config.Logger.Warn("no other connection could be made", "view", f.file.def.Name, "reason", err)
	}
}

// Stalled are the streams that the rows do not follow, although there is
// more: they are asked for anew until they do.
func (v *View) Stalled() []string {
	v.mu.Lock()
	f := v.answers
	if (f == nil || !f.current) && v.building != nil {
		f = v.building
	}
	v.mu.Unlock()
	var streams []string
	if f != nil {
		for _, feed := range f.feeds {
			if feed.still.Load() {
				streams = append(streams, feed.source.Stream)
			}
		}
	}
	return streams
}
