package eventlog

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
)

// SyncFunc waits until the message of a stream with a sequence, and so every message of the
// stream before it, is on the disk, and returns the reason if it cannot get there now. With the
// sequence 0 it waits for what is stored when it is called. Nil means that a server syncs each
// message before it acknowledges it.
type SyncFunc func(ctx context.Context, stream string, sequence uint64) error

// await waits with s. Without one, it asks the program of the server that the connection leads to
// if that acknowledges messages before it syncs them. The error is that of ctx, or errs.Unavailable.
func (s SyncFunc) await(ctx context.Context, conn *nats.Conn, stream string, sequence uint64) error {
	if s == nil {
		if conn == nil || !strings.HasSuffix(conn.ConnectedServerName(), syncsLater) {
			return nil
		}
		s = func(ctx context.Context, stream string, sequence uint64) error {
			return askSynced(ctx, conn, stream, sequence)
		}
	}
	err := s(ctx, stream, sequence)
	if _, named := errs.As(err); err == nil || named || ctx.Err() != nil {
		return err
	}
	return errs.New(errs.Unavailable, "the log %s is not on the disk: %v", stream, err)
}

// syncedJetStream is JetStream for what is no event. See WithSync.
type syncedJetStream struct {
	jetstream.JetStream
	sync SyncFunc
}

// WithSync returns JetStream whose PublishMsg returns only when the message is on the disk. If
// the message is rejected because another one has its place, that one is on the disk then. It is
// for what a Log does not append: dead letters, keys, revocations, deferred commands. Messages
// need the header Nats-Expected-Stream. A message that was published, and is not on the disk when
// the context ends, may get there.
func WithSync(js jetstream.JetStream, sync SyncFunc) jetstream.JetStream {
	return &syncedJetStream{js, sync}
}

func (j *syncedJetStream) PublishMsg(ctx context.Context, m *nats.Msg, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ack, err := j.JetStream.PublishMsg(ctx, m, options...)
	stream, sequence := m.Header.Get(jetstream.ExpectedStreamHeader), uint64(0)
	switch {
	case err == nil:
		stream, sequence = ack.Stream, ack.Sequence
	case !IsConflict(err):
		return nil, err
	}
	if syncErr := AwaitSync(ctx, j, stream, sequence); syncErr != nil {
		return nil, syncErr
	}
	return ack, err
}

// AwaitSync waits as Log.AwaitSync does, for what was read through js. It waits for nothing unless
// js is from WithSync.
func AwaitSync(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) error {
	j, ok := js.(*syncedJetStream)
	if !ok || stream == "" {
		return nil
	}
	return j.sync.await(ctx, j.Conn(), stream, sequence)
}
