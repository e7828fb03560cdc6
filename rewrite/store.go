package rewrite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"lonja/kit/natsembed"
)

// store is a server on the store of a folder, and a connection to it.
type store struct {
	server *natsembed.Server
	conn   *nats.Conn
	js     jetstream.JetStream
}

// openStore starts a server that only this process can connect to.
func openStore(dir string) (s *store, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	public, err := pair.PublicKey()
	if err != nil {
		return nil, err
	}
	s = &store{}
	s.server, err = natsembed.Start(natsembed.Config{Dir: filepath.Join(dir, natsFolder), SharedDir: dir, Addr: "127.0.0.1:0",
		Users: []*server.NkeyUser{{Nkey: public}}})
	if err != nil {
		return nil, err
	}
	if s.conn, err = nats.Connect(s.server.URL(), nats.Nkey(public, pair.Sign)); err == nil {
		s.js, err = jetstream.New(s.conn)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *store) close() {
	if s == nil {
		return
	}
	if s.conn != nil {
		s.conn.Close()
	}
	s.server.Stop()
}

func (r *rewriting) closeStores() {
	r.source.close()
	r.target.close()
	r.source, r.target = nil, nil
}

// state returns a stream's state.
func (s *store) state(ctx context.Context, stream string) (jetstream.StreamState, error) {
	found, err := s.js.Stream(ctx, stream)
	if err != nil {
		return jetstream.StreamState{}, fmt.Errorf("stream %s: %w", stream, err)
	}
	return found.CachedInfo().State, nil
}

// stored is a message of a stream.
type stored struct {
	sequence uint64
	subject  string
	header   nats.Header
	data     []byte
}

// patience is how long the next message of a stream may take.
const patience = 10 * time.Second

// each calls handle for every message of a stream, in order, and returns how many there were.
// Messages that expire meanwhile may be left out.
func (s *store) each(ctx context.Context, stream string, handle func(stored) error) (n uint64, err error) {
	found, err := s.js.Stream(ctx, stream)
	if err != nil {
		return 0, fmt.Errorf("stream %s: %w", stream, err)
	}
	if found.CachedInfo().Config.Retention == jetstream.WorkQueuePolicy {
		return eachOfQueue(ctx, found, handle)
	}
	cons, err := found.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", stream, err)
	}
	if cons.CachedInfo().NumPending == 0 {
		return 0, nil
	}
	messages, err := cons.Messages(jetstream.PullMaxMessages(1_000))
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", stream, err)
	}
	defer messages.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		m, err := messages.Next(jetstream.NextMaxWait(patience))
		if err != nil && s.read(ctx, stream, n) {
			return n, nil // the last ones have expired
		}
		if err != nil {
			return n, fmt.Errorf("read %s after %d messages: %w", stream, n, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return n, fmt.Errorf("read %s: %w", stream, err)
		}
		n++
		if err := handle(stored{meta.Sequence.Stream, m.Subject(), m.Headers(), m.Data()}); err != nil || meta.NumPending == 0 {
			return n, err
		}
	}
}

// eachOfQueue is each for a work queue, which has no consumer but its own. It asks for one
// message after the other, so it is slow; such a stream is short.
func eachOfQueue(ctx context.Context, stream jetstream.Stream, handle func(stored) error) (n uint64, err error) {
	for next := uint64(1); ; n++ {
		m, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return n, nil
		}
		if err == nil {
			next, err = m.Sequence+1, handle(stored{m.Sequence, m.Subject, m.Header, m.Data})
		}
		if err != nil {
			return n, fmt.Errorf("read %s: %w", stream.CachedInfo().Config.Name, err)
		}
	}
}

// read reports whether n messages are all that a stream holds.
func (s *store) read(ctx context.Context, stream string, n uint64) bool {
	state, err := s.state(ctx, stream)
	return err == nil && state.Msgs <= n
}

// write stores a message again, and returns its sequence. The conditions among its headers are
// those on which it was stored at first.
func (s *store) write(ctx context.Context, stream string, m stored) (uint64, error) {
	ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: m.subject, Header: m.header, Data: m.data}, jetstream.WithRetryAttempts(0))
	switch {
	case err != nil:
		return 0, fmt.Errorf("write %s:%d: %w", stream, m.sequence, err)
	case ack.Stream != stream:
		return 0, fmt.Errorf("write %s:%d: its subject belongs to stream %s", stream, m.sequence, ack.Stream)
	case ack.Duplicate:
		return 0, fmt.Errorf("write %s:%d: another message has its id", stream, m.sequence)
	}
	return ack.Sequence, nil
}

// holds reports whether a store has a stream.
func (s *store) holds(ctx context.Context, stream string) (bool, error) {
	_, err := s.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	return err == nil, err
}
