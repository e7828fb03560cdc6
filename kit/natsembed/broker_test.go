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

const within = 30 * time.Second

type opened struct {
	*Server
	js   jetstream.JetStream
	said *record
	t    *testing.T
}

// record is what was logged.
type record struct {
	mu   sync.Mutex
	text strings.Builder
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func start(t *testing.T, c Config) *opened {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	said := &record{}
	c.Addr, c.Logger = "127.0.0.1:0", slog.New(slog.NewTextHandler(io.MultiWriter(said, t.Output()), nil))
	b, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	nc, err := nats.Connect(b.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &opened{b, js, said, t}
}

func (o *opened) stream() {
	o.t.Helper()
	_, err := o.js.CreateStream(o.t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, AllowDirect: true})
	if err != nil {
		o.t.Fatal(err)
	}
}

// publish publishes until it is acknowledged.
func (o *opened) publish(body string) (seq uint64) {
	o.t.Helper()
	var ack *jetstream.PubAck
	o.eventually("an acknowledgement", func() (err error) {
		ctx, cancel := context.WithTimeout(o.t.Context(), time.Second)
		defer cancel()
		ack, err = o.js.Publish(ctx, "s.x", []byte(body))
		return err
	})
	return ack.Sequence
}

func (o *opened) eventually(what string, try func() error) {
	o.t.Helper()
	err := errors.New("never tried")
	for end := time.Now().Add(within); time.Now().Before(end); {
		if err = try(); err == nil {
			return
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-o.t.Context().Done():
		}
	}
	o.t.Fatalf("%s: not within %v: %v", what, within, err)
}

// becomes waits until the store takes no messages for a reason, nil for taking them.
func (o *opened) becomes(reason error) {
	o.t.Helper()
	o.eventually(fmt.Sprint("becomes ", reason), func() error {
		if got := context.Cause(o.Healthy()); !errors.Is(got, reason) {
			return fmt.Errorf("it is %v", got)
		}
		return nil
	})
}

// holds makes sure that the stream holds these bodies from the first sequence
// on, whatever comes after them.
func (o *opened) holds(bodies []string) {
	o.t.Helper()
	stream, err := o.js.Stream(o.t.Context(), "S")
	if err != nil {
		o.t.Fatal(err)
	}
	for i, body := range bodies {
		msg, err := stream.GetMsg(o.t.Context(), uint64(i+1))
		if err != nil || string(msg.Data) != body {
			o.t.Fatalf("at %d there is %v (%v), not %q", i+1, msg, err, body)
		}
	}
}

func (o *opened) block() string {
	return filepath.Join(o.config.Dir, "jetstream", "$G", "streams", "S", "msgs", "1.blk")
}

func TestBroker_AFailedWriteOrSyncIsNoticedAndHealsByItself(t *testing.T) {
	for name, c := range map[string]struct {
		device string
		reason error
	}{
		"write": {baddisk.Full, ErrFull},
		"sync":  {baddisk.Unsafe, ErrBroken},
	} {
		t.Run(name, func(t *testing.T) {
			o := start(t, Config{SyncAlways: true})
			o.stream()
			var acknowledged []string
			for i := range 20 {
				acknowledged = append(acknowledged, fmt.Sprint("message ", i))
				o.publish(acknowledged[i])
			}
			url, well := o.URL(), o.Healthy()
			before, err := os.Stat(o.block())
			if err != nil {
				t.Fatal(err)
			}
			baddisk.Put(t, c.device, o.block())
			unanswered, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if ack, err := o.js.Publish(unanswered, "s.x", []byte("nobody knows")); err == nil {
				t.Fatalf("acknowledged at %d although it was not written", ack.Sequence)
			}
			select {
			case <-well.Done():
			case <-time.After(within):
				t.Fatal("nobody noticed")
			}
			if got := context.Cause(well); !errors.Is(got, c.reason) {
				t.Errorf("it says %v, not %v", got, c.reason)
			}
			o.becomes(nil)
			if o.URL() != url {
				t.Errorf("it is now at %s, not at %s", o.URL(), url)
			}
			o.holds(acknowledged)
			if seq := o.publish("afterwards"); seq != 21 && seq != 22 {
				t.Errorf("went on at %d", seq)
			}
			after, err := os.Stat(o.block())
			if err != nil {
				t.Fatal(err)
			}
			if os.SameFile(before, after) {
				t.Error("a block whose sync failed was trusted: it is the same file")
			}
		})
	}
}

func TestBroker_AFullStoreSaysSoAndOpensAgainOnceItMayGrow(t *testing.T) {
	dir := t.TempDir()
	o := start(t, Config{Dir: dir, MaxStore: 3 << 20})
	o.stream()
	for i := 0; context.Cause(o.Healthy()) == nil && i < 1000; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, _ = o.js.Publish(ctx, "s.x", make([]byte, 100<<10))
		cancel()
	}
	o.becomes(ErrFull)
	o.Stop()
	if o = start(t, Config{Dir: dir}); context.Cause(o.Healthy()) != nil {
		t.Errorf("still %v with room to grow", context.Cause(o.Healthy()))
	}
	o.publish("more")
}

func TestBroker_DoesNotGoOnWithLessThanItHadAcknowledged(t *testing.T) {
	o := start(t, Config{SyncAlways: true})
	o.stream()
	for i := range 20 {
		o.publish(fmt.Sprint("message ", i))
	}
	o.eventually("it has looked", func() error {
		if at := o.reached()["S"]; at != 20 {
			return fmt.Errorf("it saw %d", at)
		}
		return nil
	})
	baddisk.Put(t, baddisk.Full, o.block())
	// What the server acknowledged is lost beneath it.
	if err := os.Truncate(o.block(), 500); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _ = o.js.Publish(ctx, "s.x", []byte("nobody knows"))
	o.becomes(ErrFull)
	o.eventually("opening it again is refused", func() error {
		if said := o.said.String(); !strings.Contains(said, "stream S ends at") {
			return fmt.Errorf("it said %s", said)
		}
		return nil
	})
	if context.Cause(o.Healthy()) == nil {
		t.Error("it takes messages although acknowledged ones are lost")
	}
}

func TestStart_SaysWhichStreamCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	o := start(t, Config{Dir: dir})
	o.stream()
	o.publish("something")
	o.Stop()
	if err := os.Remove(filepath.Join(dir, "jetstream", "$G", "streams", "S", "meta.inf")); err != nil {
		t.Fatal(err)
	}
	b, err := Start(Config{Dir: dir, Addr: "127.0.0.1:0"})
	if err == nil {
		b.Stop()
		t.Fatal("it started without the stream, which would be begun anew")
	}
	if !strings.Contains(err.Error(), "stream S") || !strings.Contains(err.Error(), dir) {
		t.Errorf("it says %v", err)
	}
}

func TestStart_PassesOverWhatIsNotAStream(t *testing.T) {
	dir := t.TempDir()
	o := start(t, Config{Dir: dir})
	o.stream()
	o.publish("something")
	o.Stop()
	for _, name := range []string{"note.txt", "jetstream/note.txt", "jetstream/$G/note.txt", "jetstream/$G/streams/note.txt", "jetstream/$G/streams/S/msgs/note.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("not NATS's"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"jetstream/lost+found", "jetstream/$G/streams/lost+found"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	o = start(t, Config{Dir: dir})
	o.holds([]string{"something"})
	if seq := o.publish("more"); seq != 2 {
		t.Errorf("went on at %d", seq)
	}
}

func TestShare_LeavesRoomForViewsAndAReserve(t *testing.T) {
	const mb, gb = 1 << 20, 1 << 30
	for name, c := range map[string]struct{ used, shared, free, total, want int64 }{
		"a new one":                          {0, 0, 10*gb + 64*mb, 100 * gb, 5 * gb},
		"full grown, with its views":         {4 * gb, 6 * gb, 4*gb + 64*mb, 100 * gb, 5 * gb},
		"beside somebody else's files":       {4 * gb, 6 * gb, 64 * mb, 100 * gb, 4 * gb},
		"on a disk that is full":             {4 * gb, 6 * gb, 0, 100 * gb, 4 * gb},
		"on a small disk":                    {0, 0, 48 * mb, 48 * mb, 45 * mb / 2},
		"on a large disk":                    {0, 0, 1000 * gb, 1000 * gb, 64 * gb},
		"larger than it may be on any disk ": {70 * gb, 70 * gb, 900 * gb, 1000 * gb, 70 * gb},
	} {
		if got, err := share(c.used, c.shared, c.free, c.total); err != nil || got != c.want {
			t.Errorf("%s: %d MiB (%v), want %d", name, got/mb, err, c.want/mb)
		}
	}
	if _, err := share(0, 0, 60*mb, 100*gb); !errors.Is(err, ErrFull) {
		t.Errorf("without room to begin: %v", err)
	}
}
