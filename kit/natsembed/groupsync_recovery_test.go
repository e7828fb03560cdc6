package natsembed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/kittest/baddisk"
)

// failOnce makes the next sync of a block fail, once it may. Entered is closed when it begins.
func (d *disk) failOnce(may <-chan struct{}) (entered <-chan struct{}) {
	var failed atomic.Bool
	began := make(chan struct{})
	d.set(func(f *os.File) error {
		if strings.HasSuffix(f.Name(), ".blk") && failed.CompareAndSwap(false, true) {
			close(began)
			<-may
			return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.EIO}
		}
		return nil
	})
	return began
}

func (s *testServer) waitEnd(healthy context.Context, reason error) {
	s.t.Helper()
	select {
	case <-healthy.Done():
	case <-time.After(timeout):
		s.t.Fatal("the failure was not detected")
	}
	if got := context.Cause(healthy); !errors.Is(got, reason) {
		s.t.Errorf("the reason is %v, want %v", got, reason)
	}
}

func TestSynced_ConfirmsNothingAfterAFailedSync(t *testing.T) {
	disk := newDisk()
	s := start(t, Config{SyncGroup: true, fsync: disk.fsync})
	s.createStream()
	var confirmed []string
	for i := range 20 {
		confirmed = append(confirmed, fmt.Sprint("message ", i))
		s.publishSynced(confirmed[i])
	}
	url, healthy := s.URL(), s.Healthy()
	before, err := os.Stat(s.block())
	if err != nil {
		t.Fatal(err)
	}
	may := make(chan struct{})
	disk.failOnce(may)
	seq := s.publish("written, and not synced")
	var callers sync.WaitGroup
	for range 10 {
		callers.Go(func() {
			if err := s.Synced(t.Context(), "S", seq); !errors.Is(err, ErrBroken) {
				t.Errorf("after a sync that failed, Synced returns %v", err)
			}
		})
	}
	s.eventually("they wait", func() error {
		of, err := s.group.stream("S")
		if err != nil {
			return err
		}
		of.mu.Lock()
		defer of.mu.Unlock()
		if of.next == nil {
			return errors.New("nobody waits")
		}
		return nil
	})
	close(may)
	callers.Wait()
	s.waitEnd(healthy, ErrBroken)
	s.waitHealth(nil)
	if s.URL() != url {
		t.Errorf("the URL is now %s, want %s", s.URL(), url)
	}
	s.wantMessages(append(confirmed, "written, and not synced"))
	if err := s.Synced(t.Context(), "S", seq); err != nil {
		t.Errorf("after the store was opened again, Synced returns %v", err)
	}
	after, err := os.Stat(s.block())
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(before, after) {
		t.Error("the block is the same file, although its sync failed")
	}
	if got := s.publishSynced("after recovery"); got != seq+1 {
		t.Errorf("the next sequence is %d, want %d", got, seq+1)
	}
}

func TestServer_RecoversFromAFailedWriteOrSyncOfAGroup(t *testing.T) {
	for fault, reason := range map[baddisk.Fault]error{baddisk.NoSpace: ErrFull, baddisk.NoSync: ErrBroken} {
		s := start(t, Config{SyncGroup: true})
		s.createStream()
		var confirmed []string
		for i := range 20 {
			confirmed = append(confirmed, fmt.Sprint("message ", i))
			s.publishSynced(confirmed[i])
		}
		healthy := s.Healthy()
		baddisk.Inject(t, fault, s.block())
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if ack, err := s.js.Publish(short, "s.x", []byte("lost")); err == nil {
			if err := s.Synced(t.Context(), "S", ack.Sequence); err == nil {
				t.Errorf("%s: a message is confirmed that is in no file", fault)
			}
		}
		s.waitEnd(healthy, reason)
		if fault == baddisk.NoSync { // the message went nowhere, and this process has seen it
			s.eventually("the store is not opened again", func() error {
				if log := s.log.String(); !strings.Contains(log, "start the process again") {
					return fmt.Errorf("the log is %s", log)
				}
				return nil
			})
			s.Stop()
			s = start(t, Config{SyncGroup: true, Dir: s.config.Dir})
		}
		s.waitHealth(nil)
		s.wantMessages(confirmed)
		if seq := s.publishSynced("after recovery"); seq != 21 && seq != 22 {
			t.Errorf("the next sequence is %d, want 21, or 22 if the unacknowledged message was stored", seq)
		}
		s.Stop()
	}
}

// What was never confirmed may be lost, but this process may have read it.
func TestServer_IsNotOpenedAgainWithoutWhatTheProcessHasSeen(t *testing.T) {
	disk := newDisk()
	s := start(t, Config{SyncGroup: true, fsync: disk.fsync})
	s.createStream()
	s.publishSynced("confirmed")
	info, err := os.Stat(s.block())
	if err != nil {
		t.Fatal(err)
	}
	may := make(chan struct{})
	entered := disk.failOnce(may)
	seq := s.publish("written, and not synced")
	<-entered // at the latest in the sweep
	if err := os.Truncate(s.block(), info.Size()); err != nil {
		t.Fatal(err)
	}
	close(may)
	if err := s.Synced(t.Context(), "S", seq); err == nil {
		t.Error("what is not on the disk is confirmed")
	}
	s.eventually("the store is not opened again", func() error {
		if log := s.log.String(); !strings.Contains(log, "start the process again") {
			return fmt.Errorf("the log is %s", log)
		}
		return nil
	})
	s.Stop()
	again := start(t, Config{SyncGroup: true, Dir: s.config.Dir})
	again.wantMessages([]string{"confirmed"})
	if got := again.publishSynced("another"); got < seq {
		t.Errorf("the next sequence is %d, want at least %d", got, seq)
	}
}

// copyStore copies a store as a power cut may leave it: of each block what was synced, and
// half of what was written after that, as garbage; everything else as it is.
func copyStore(t *testing.T, d *disk, from, to string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	err := filepath.WalkDir(from, func(path string, e os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if e.IsDir() {
			return os.MkdirAll(target, 0o750)
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if synced := d.synced[path]; strings.HasSuffix(path, ".blk") && synced < int64(len(data)) {
			data = data[:synced+(int64(len(data))-synced)/2]
			clear(data[synced:])
		}
		return errors.Join(err, os.WriteFile(target, data, 0o600))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStart_AfterAPowerCutNothingConfirmedIsMissingAndNoConsumerSkips(t *testing.T) {
	disk := newDisk()
	s := start(t, Config{SyncGroup: true, fsync: disk.fsync})
	s.createStream()
	consumer, err := s.js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var confirmed []string
	for i := range 30 {
		confirmed = append(confirmed, fmt.Sprint("message ", i))
		s.publishSynced(confirmed[i])
	}
	acknowledge(t, consumer, 20)
	if err := s.group.sweep(); err != nil { // saves the state
		t.Fatal(err)
	}
	disk.set(func(f *os.File) error { // nothing gets to the disk any more
		if strings.HasSuffix(f.Name(), ".blk") {
			return io.ErrShortWrite
		}
		return nil
	})
	for i := range 10 {
		s.publish(fmt.Sprint("lost ", i))
	}
	acknowledge(t, consumer, 20) // the state is ahead of what is synced
	cut := t.TempDir()
	copyStore(t, disk, s.config.Dir, cut)
	state := filepath.Join(streamsDir(cut), "S", "obs", "reader", stateFile)
	if err := os.Truncate(state, 3); err != nil {
		t.Fatal(err)
	}

	again := start(t, Config{SyncGroup: true, Dir: cut})
	again.wantMessages(confirmed)
	if seq := again.publishSynced("after the cut"); seq != 31 {
		t.Errorf("the next sequence is %d, want 31", seq)
	}
	consumer, err = again.js.Consumer(t.Context(), "S", "reader")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for !got["after the cut"] { // older ones may come again before
		got[acknowledge(t, consumer, 1)[0]] = true
	}
	for _, body := range confirmed[20:] {
		if !got[body] {
			t.Errorf("%q was not delivered", body)
		}
	}
}

// acknowledge fetches n messages and acknowledges them.
func acknowledge(t *testing.T, c jetstream.Consumer, n int) (bodies []string) {
	t.Helper()
	for len(bodies) < n {
		batch, err := c.Fetch(n-len(bodies), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		before := len(bodies)
		for m := range batch.Messages() {
			bodies = append(bodies, string(m.Data()))
			if err := m.DoubleAck(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if len(bodies) == before {
			t.Fatalf("%d of %d messages were delivered: %v", before, n, batch.Error())
		}
	}
	return bodies
}

func TestStart_TheModeCanChangeBetweenStarts(t *testing.T) {
	dir := t.TempDir()
	var bodies []string
	for i, c := range []Config{{SyncAlways: true}, {SyncGroup: true}, {SyncInterval: time.Minute}, {SyncGroup: true}, {SyncAlways: true}} {
		c.Dir = dir
		s := start(t, c)
		if i == 0 {
			s.createStream()
			if _, err := s.js.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
				t.Fatal(err)
			}
		}
		s.wantMessages(bodies)
		bodies = append(bodies, fmt.Sprint("message ", i))
		s.publishSynced(bodies[i])
		consumer, err := s.js.Consumer(t.Context(), "S", "reader")
		if err != nil {
			t.Fatal(err)
		}
		if got := acknowledge(t, consumer, 1); got[0] != bodies[i] {
			t.Errorf("%+v: %q is delivered, want %q", c, got[0], bodies[i])
		}
		s.Stop()
		if _, err := os.Stat(filepath.Join(dir, consumersFile)); c.SyncGroup == (err != nil) {
			t.Errorf("with SyncGroup %v, the file of states: %v", c.SyncGroup, err)
		}
	}
}

func TestStart_GroupExcludesTheOtherModes(t *testing.T) {
	for _, c := range []Config{{SyncGroup: true, SyncAlways: true}, {SyncGroup: true, SyncInterval: time.Second}} {
		c.Dir, c.Addr = t.TempDir(), "127.0.0.1:0"
		if s, err := Start(c); err == nil {
			s.Stop()
			t.Errorf("%+v is accepted", c)
		}
	}
}
