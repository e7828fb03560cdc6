package projection

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// lookAgain is how often a stream is asked on behalf of those who wait for
	// it, however many they are.
	lookAgain = 10 * time.Millisecond
	// lookSeldom is how often one who waits long makes us ask.
	lookSeldom = time.Second
	// leased is how lately a leader must have heard of the other servers to be
	// sure that they have not chosen another one: they wait at least four seconds.
	leased = 3 * time.Second
)

// end is a stream's last sequence, as its leader said.
type end struct {
	last  uint64
	asked time.Time // when the question was sent
}

// isBeyond reports whether a position is known not to be recorded. Whoever saw
// it did so before they came, so a leader who was asked after that would know.
func (f *feed) isBeyond(seq uint64, came time.Time) bool {
	e := f.end.Load()
	return e != nil && e.asked.After(came) && seq > e.last
}

// look asks the stream how far it goes, once for all who wait. It finds out
// whether a position is beyond that, see isBeyond; and of a feed that is partial,
// whether the rows stand further than the last event that they are made of: when
// nothing that is read came after it, the rest of the stream is none of theirs.
func (f *feed) look(ctx context.Context) {
	if !f.looking.TryLock() {
		return
	}
	defer f.looking.Unlock()
	asked := time.Now()
	if asked.Sub(f.looked) < lookAgain {
		return
	}
	f.looked = asked
	stood := f.reached.Load()
	stream, err := f.file.config.JetStream.Stream(ctx, f.source.Stream)
	if err != nil {
		return
	}
	info := stream.CachedInfo()
	if leads(info) {
		f.end.Store(&end{info.State.LastSeq, asked})
	}
	if !f.file.current || !f.partial.Load() {
		return
	}
	for _, subject := range f.source.Subjects { // after the stream's end, or an event between would be missed
		if last, err := f.file.config.Log.Last(ctx, f.source.Stream, subject); err != nil || last > stood {
			return
		}
	}
	f.reach(info.State.LastSeq)
}

// leads reports whether who answers for a stream must know all that is recorded
// on it. Of a stream on several servers one may answer that stood still while the
// others chose another leader; it has not heard of most of them lately.
func leads(info *jetstream.StreamInfo) bool {
	if info.Config.Replicas <= 1 || info.Cluster == nil {
		return true
	}
	near := 1 // itself
	for _, peer := range info.Cluster.Replicas {
		if !peer.Offline && peer.Active < leased {
			near++
		}
	}
	return 2*near > info.Config.Replicas
}
