package natsembed_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsembed"
)

// startWithStream starts a server with the stream S.
func startWithStream(t *testing.T, group bool) (*natsembed.Server, jetstream.JetStream) {
	t.Helper()
	server, err := natsembed.Start(natsembed.Config{Dir: filepath.Join(t.TempDir(), "nats"), Addr: "127.0.0.1:0", SyncAlways: !group, SyncGroup: group})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	js, err := jetstream.New(dial(t, server))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	return server, js
}

func dial(t *testing.T, server *natsembed.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func first() *nats.Msg {
	return &nats.Msg{Subject: "s.x", Header: nats.Header{jetstream.ExpectedStreamHeader: {"S"}, jetstream.ExpectedLastSubjSeqHeader: {"0"}}}
}

// Whoever publishes in the server's process waits for the disk, also to learn of a conflict.
func TestSyncGroup_PublishingWaitsForTheDisk(t *testing.T) {
	for _, group := range []bool{false, true} {
		server, js := startWithStream(t, group)
		if ack, err := eventlog.WithSync(js, server.Synced).PublishMsg(t.Context(), first()); err != nil || ack.Sequence != 1 {
			t.Errorf("publishing returns %v, %v", ack, err)
		}
		if _, err := eventlog.WithSync(js, server.Synced).PublishMsg(t.Context(), first()); !eventlog.IsConflict(err) {
			t.Errorf("publishing twice returns %v", err)
		}
		log := eventlog.New(js, eventlog.Codec{})
		log.Synced = func(context.Context, string, uint64) error { return errors.New("no") }
		if err := log.AwaitSync(t.Context(), "S", 1); !errs.Is(err, errs.Unavailable) {
			t.Errorf("after a failed sync, waiting returns %v", err)
		}
	}
}

// A program of its own asks the server's program to wait for it. If nobody answers, it confirms
// nothing.
func TestSyncGroup_OtherProgramsAskTheServers(t *testing.T) {
	for _, group := range []bool{false, true} {
		server, js := startWithStream(t, group)
		log, other := eventlog.New(js, eventlog.Codec{}), eventlog.WithSync(js, nil)
		_, publishErr := other.PublishMsg(t.Context(), first())
		if awaitErr := log.AwaitSync(t.Context(), "S", 1); errs.Is(awaitErr, errs.Unavailable) != group || errs.Is(publishErr, errs.Unavailable) != group {
			t.Errorf("group %v: nobody answers; waiting for the sync returns %v, and publishing %v", group, awaitErr, publishErr)
		}
		var asked atomic.Int64
		var failure atomic.Pointer[error]
		serving := dial(t, server)
		err := eventlog.ServeSync(serving, func(ctx context.Context, stream string, sequence uint64) error {
			asked.Add(1)
			if failed := failure.Load(); failed != nil {
				return *failed
			}
			return server.Synced(ctx, stream, sequence)
		})
		if err == nil {
			err = serving.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := log.AwaitSync(t.Context(), "S", 1); err != nil || (asked.Load() > 0) != group {
			t.Errorf("group %v: waiting returns %v and asks %d times", group, err, asked.Load())
		}
		if _, err := other.PublishMsg(t.Context(), first()); !eventlog.IsConflict(err) {
			t.Errorf("group %v: publishing twice returns %v", group, err)
		}
		failure.Store(new(errors.New("the disk has failed")))
		if err := log.AwaitSync(t.Context(), "S", 1); errs.Is(err, errs.Unavailable) != group {
			t.Errorf("group %v: after a failed sync, waiting returns %v", group, err)
		}
	}
}
