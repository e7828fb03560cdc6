package natsembed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/kittest/baddisk"
)

const timeout = 30 * time.Second

// testServer is a server with a client.
type testServer struct {
	*Server
	js  jetstream.JetStream
	log *logBuffer
	t   *testing.T
}

// logBuffer keeps what the server logs.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func start(t *testing.T, c Config) *testServer {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	log := &logBuffer{}
	c.Addr, c.Logger = "127.0.0.1:0", slog.New(slog.NewTextHandler(io.MultiWriter(log, t.Output()), nil))
	server, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	nc, err := nats.Connect(server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &testServer{server, js, log, t}
}

// createStream creates the stream S.
func (s *testServer) createStream() {
	s.t.Helper()
	_, err := s.js.CreateStream(s.t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowDirect: true})
	if err != nil {
		s.t.Fatal(err)
	}
}

// publish publishes to S until it is acknowledged, and returns the sequence.
func (s *testServer) publish(body string) (seq uint64) {
	s.t.Helper()
	var ack *jetstream.PubAck
	s.eventually("an acknowledgement", func() (err error) {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		defer cancel()
		ack, err = s.js.Publish(ctx, "s.x", []byte(body))
		return err
	})
	return ack.Sequence
}

// eventually repeats try until it returns nil.
func (s *testServer) eventually(what string, try func() error) {
	s.t.Helper()
	err := errors.New("not tried")
	for end := time.Now().Add(timeout); time.Now().Before(end); {
		if err = try(); err == nil {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.t.Context().Done():
		}
	}
	s.t.Fatalf("%s: not within %v: %v", what, timeout, err)
}

// waitHealth waits until the store accepts no messages for a reason; nil means until
// it accepts them.
func (s *testServer) waitHealth(reason error) {
	s.t.Helper()
	s.eventually(fmt.Sprint("health ", reason), func() error {
		if got := context.Cause(s.Healthy()); !errors.Is(got, reason) {
			return fmt.Errorf("health is %v", got)
		}
		return nil
	})
}

// wantMessages fails the test unless the stream begins with these bodies at
// sequence 1.
func (s *testServer) wantMessages(bodies []string) {
	s.t.Helper()
	stream, err := s.js.Stream(s.t.Context(), "S")
	if err != nil {
		s.t.Fatal(err)
	}
	for i, body := range bodies {
		msg, err := stream.GetMsg(s.t.Context(), uint64(i+1))
		if err != nil || string(msg.Data) != body {
			s.t.Fatalf("message %d is %v (%v), want %q", i+1, msg, err, body)
		}
	}
}

// block returns the path of the stream's first block.
func (s *testServer) block() string {
	return filepath.Join(s.config.Dir, "jetstream", "$G", "streams", "S", "msgs", "1.blk")
}

func TestServer_RecoversFromAFailedWriteOrSync(t *testing.T) {
	for name, c := range map[string]struct {
		fault  baddisk.Fault
		reason error
	}{
		"write": {baddisk.NoSpace, ErrFull},
		"sync":  {baddisk.NoSync, ErrBroken},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{SyncAlways: true})
			s.createStream()
			var acknowledged []string
			for i := range 20 {
				acknowledged = append(acknowledged, fmt.Sprint("message ", i))
				s.publish(acknowledged[i])
			}
			url, healthy := s.URL(), s.Healthy()
			before, err := os.Stat(s.block())
			if err != nil {
				t.Fatal(err)
			}
			baddisk.Inject(t, c.fault, s.block())
			short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if ack, err := s.js.Publish(short, "s.x", []byte("outcome unknown")); err == nil {
				t.Fatalf("acknowledged at %d although it was not written", ack.Sequence)
			}
			select {
			case <-healthy.Done():
			case <-time.After(timeout):
				t.Fatal("the failure was not detected")
			}
			if got := context.Cause(healthy); !errors.Is(got, c.reason) {
				t.Errorf("the reason is %v, want %v", got, c.reason)
			}
			s.waitHealth(nil)
			if s.URL() != url {
				t.Errorf("the URL is now %s, want %s", s.URL(), url)
			}
			s.wantMessages(acknowledged)
			if seq := s.publish("after recovery"); seq != 21 && seq != 22 {
				t.Errorf("the next sequence is %d, want 21, or 22 if the unacknowledged message was stored", seq)
			}
			after, err := os.Stat(s.block())
			if err != nil {
				t.Fatal(err)
			}
			if os.SameFile(before, after) {
				t.Error("the block is the same file, although its sync failed")
			}
		})
	}
}

func TestServer_AFullStoreIsReportedAndOpensAgainWithAHigherLimit(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir, MaxStore: 3 << 20})
	s.createStream()
	for i := 0; context.Cause(s.Healthy()) == nil && i < 1000; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, _ = s.js.Publish(ctx, "s.x", make([]byte, 100<<10))
		cancel()
	}
	s.waitHealth(ErrFull)
	s.Stop()
	if s = start(t, Config{Dir: dir}); context.Cause(s.Healthy()) != nil {
		t.Errorf("health is %v, although the limit was raised", context.Cause(s.Healthy()))
	}
	s.publish("more")
}

func TestServer_DoesNotContinueWithoutAcknowledgedMessages(t *testing.T) {
	s := start(t, Config{SyncAlways: true})
	s.createStream()
	for i := range 20 {
		s.publish(fmt.Sprint("message ", i))
	}
	s.eventually("the server has checked the store", func() error {
		if end := s.lastEnds()["S"]; end != 20 {
			return fmt.Errorf("the last end is %d", end)
		}
		return nil
	})
	baddisk.Inject(t, baddisk.NoSpace, s.block())
	// The disk loses messages that the server has acknowledged.
	if err := os.Truncate(s.block(), 500); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _ = s.js.Publish(ctx, "s.x", []byte("outcome unknown"))
	s.waitHealth(ErrFull)
	s.eventually("the store is not opened again", func() error {
		if log := s.log.String(); !strings.Contains(log, "stream S ends at") {
			return fmt.Errorf("the log is %s", log)
		}
		return nil
	})
	if context.Cause(s.Healthy()) == nil {
		t.Error("messages are accepted, although acknowledged ones are lost")
	}
}

func TestStart_NamesTheStreamThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	s.createStream()
	s.publish("something")
	s.Stop()
	if err := os.Remove(filepath.Join(dir, "jetstream", "$G", "streams", "S", "meta.inf")); err != nil {
		t.Fatal(err)
	}
	server, err := Start(Config{Dir: dir, Addr: "127.0.0.1:0"})
	if err == nil {
		server.Stop()
		t.Fatal("the server started without the stream, which would start again at sequence 1")
	}
	if !strings.Contains(err.Error(), "stream S") || !strings.Contains(err.Error(), dir) {
		t.Errorf("the error is %v", err)
	}
}

func TestStart_IgnoresFilesThatAreNotStreams(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Config{Dir: dir})
	s.createStream()
	s.publish("something")
	s.Stop()
	for _, name := range []string{"note.txt", "jetstream/note.txt", "jetstream/$G/note.txt", "jetstream/$G/streams/note.txt", "jetstream/$G/streams/S/msgs/note.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("not part of the store"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"jetstream/lost+found", "jetstream/$G/streams/lost+found"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s = start(t, Config{Dir: dir})
	s.wantMessages([]string{"something"})
	if seq := s.publish("more"); seq != 2 {
		t.Errorf("the next sequence is %d, want 2", seq)
	}
}

func TestStoreLimit_LeavesSpaceForViewsAndAReserve(t *testing.T) {
	const mb, gb = 1 << 20, 1 << 30
	for name, c := range map[string]struct{ used, shared, free, total, want int64 }{
		"a new store":                     {0, 0, 10*gb + 64*mb, 100 * gb, 5 * gb},
		"at its limit, with views":        {4 * gb, 6 * gb, 4*gb + 64*mb, 100 * gb, 5 * gb},
		"a disk full of other files":      {4 * gb, 6 * gb, 64 * mb, 100 * gb, 4 * gb},
		"a full disk":                     {4 * gb, 6 * gb, 0, 100 * gb, 4 * gb},
		"a small disk":                    {0, 0, 48 * mb, 48 * mb, 45 * mb / 2},
		"a large disk":                    {0, 0, 1000 * gb, 1000 * gb, 64 * gb},
		"a store above the default limit": {70 * gb, 70 * gb, 900 * gb, 1000 * gb, 70 * gb},
	} {
		if got, err := storeLimit(c.used, c.shared, c.free, c.total); err != nil || got != c.want {
			t.Errorf("%s: %d MiB (%v), want %d", name, got/mb, err, c.want/mb)
		}
	}
	if _, err := storeLimit(0, 0, 60*mb, 100*gb); !errors.Is(err, ErrFull) {
		t.Errorf("without space to start: %v", err)
	}
}
