package natsembed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// disk knows what of each file was synced, and in which folders the names were.
type disk struct {
	mu     sync.Mutex
	synced map[string]int64           // bytes, by path
	names  map[string]map[string]bool // by folder
	before func(*os.File) error       // is called before a sync; may be nil
}

func newDisk() *disk { return &disk{synced: map[string]int64{}, names: map[string]map[string]bool{}} }

// fsync syncs a file as the server's configuration has it. What is written to the file
// meanwhile does not count.
func (d *disk) fsync(f *os.File) error {
	d.mu.Lock()
	before := d.before
	d.mu.Unlock()
	if before != nil {
		if err := before(f); err != nil {
			return err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	names := map[string]bool{}
	if info.IsDir() {
		entries, err := os.ReadDir(f.Name())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			names[e.Name()] = true
		}
	}
	if err := f.Sync(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if info.IsDir() {
		d.names[f.Name()] = names
	} else {
		d.synced[f.Name()] = max(d.synced[f.Name()], info.Size())
	}
	return nil
}

func (d *disk) set(before func(*os.File) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before = before
}

// holds reports whether a text stands in the synced part of a block of the stream, and the
// block's name and those of all folders above it are synced.
func (d *disk) holds(store, stream, text string) error {
	dir := filepath.Join(streamsDir(store), stream, "msgs")
	d.mu.Lock()
	defer d.mu.Unlock()
	numbers, err := blocksIn(dir)
	for i := len(numbers) - 1; i >= 0; i-- {
		path := blockPath(dir, numbers[i])
		data, readErr := os.ReadFile(path)
		if readErr != nil || !bytes.Contains(data[:min(d.synced[path], int64(len(data)))], []byte(text)) {
			continue
		}
		for ; path != store; path = filepath.Dir(path) {
			if !d.names[filepath.Dir(path)][filepath.Base(path)] {
				return fmt.Errorf("the name of %s is not synced", path)
			}
		}
		return nil
	}
	return fmt.Errorf("%q is in no synced part of %s's blocks %v (%v)", text, stream, numbers, err)
}

// publishTo publishes a message and returns its sequence.
func (s *testServer) publishTo(subject, body string) uint64 {
	s.t.Helper()
	ack, err := s.js.Publish(s.t.Context(), subject, []byte(body))
	if err != nil {
		s.t.Error(err)
		return 0
	}
	return ack.Sequence
}

// Streams of small blocks: some keep everything, others lose their oldest or newest messages all
// the time, so that blocks are removed while they are being synced.
func TestSynced_ReturnsOnlyAfterTheSync(t *testing.T) {
	disk := newDisk()
	s := start(t, Config{SyncGroup: true, fsync: disk.fsync})
	const small = 100_000 // bytes; the server makes blocks of 32 kB then
	for name, c := range map[string]jetstream.StreamConfig{
		"KEEP": {}, "SMALL": {MaxBytes: small}, "FEW": {MaxBytes: small, MaxMsgs: 20},
		"ONE": {MaxBytes: small, MaxMsgsPerSubject: 1}, "WORK": {MaxBytes: small, Retention: jetstream.WorkQueuePolicy},
	} {
		c.Name, c.Subjects, c.AllowDirect = name, []string{name + ".>"}, true
		if _, err := s.js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	names := []string{"KEEP", "SMALL", "FEW", "ONE", "WORK"}
	var callers sync.WaitGroup
	for caller := range 64 {
		callers.Go(func() {
			stream := names[caller%len(names)]
			for i := range 20 {
				text := fmt.Sprintf("<%d %d>", caller, i)
				seq := s.publishTo(fmt.Sprint(stream, ".", caller), text+strings.Repeat("x", rand.IntN(3000)))
				if err := s.Synced(t.Context(), stream, seq); err != nil {
					t.Errorf("%s %d: %v", stream, seq, err)
				}
				switch stream {
				case "KEEP": // the others may have lost it already
					if err := disk.holds(s.config.Dir, stream, text); err != nil {
						t.Errorf("%d: %v", seq, err)
					}
				case "WORK":
					if work, err := s.js.Stream(t.Context(), stream); err != nil || i%3 > 0 && work.DeleteMsg(t.Context(), seq) != nil {
						t.Error("a message cannot be deleted", err)
					}
				case "FEW":
					if few, err := s.js.Stream(t.Context(), stream); err != nil || i == 10 && few.Purge(t.Context()) != nil {
						t.Error("the stream cannot be purged", err)
					}
				}
			}
		})
	}
	callers.Wait()
	if numbers, err := blocksIn(filepath.Join(streamsDir(s.config.Dir), "SMALL", "msgs")); err != nil || numbers[0] == 1 {
		t.Errorf("the blocks of SMALL are %v (%v): none was removed", numbers, err)
	}
	s.waitHealth(nil)
}

func TestSynced_CallersShareASync(t *testing.T) {
	disk := newDisk()
	var waiters, syncs atomic.Int64
	s := start(t, Config{SyncGroup: true, fsync: disk.fsync, OnSync: func(n int, _ time.Duration) { waiters.Add(int64(n)); syncs.Add(1) }})
	s.createStream()
	first := s.publish("first")
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	disk.set(func(f *os.File) error {
		if strings.HasSuffix(f.Name(), ".blk") {
			once.Do(func() { close(entered); <-release })
		}
		return nil
	})
	var callers sync.WaitGroup
	await := func(seq uint64) {
		callers.Go(func() {
			if err := s.Synced(t.Context(), "S", seq); err != nil {
				t.Error(err)
			}
		})
	}
	await(first)
	<-entered
	for i := range 10 {
		await(s.publish(fmt.Sprint("later ", i)))
	}
	later, err := s.group.stream("S")
	if err != nil {
		t.Fatal(err)
	}
	s.eventually("the others wait", func() error {
		later.mu.Lock()
		defer later.mu.Unlock()
		if later.next == nil || later.next.waiters < 10 {
			return errors.New("not yet")
		}
		return nil
	})
	close(release)
	callers.Wait()
	if n, of := syncs.Load(), waiters.Load(); of < 10 || n > 2 {
		t.Errorf("%d syncs for %d callers", n, of)
	}
	for seq := first; seq <= first+10; seq++ {
		if err := s.Synced(canceled(t), "S", seq); err != nil {
			t.Errorf("%d is synced, and Synced waits: %v", seq, err)
		}
	}
}

func canceled(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestSynced_EndsWithItsContextAndWithTheServer(t *testing.T) {
	disk := newDisk()
	s := start(t, Config{SyncGroup: true, fsync: disk.fsync})
	s.createStream()
	entered, release := make(chan struct{}, 100), make(chan struct{})
	disk.set(func(f *os.File) error {
		if strings.HasSuffix(f.Name(), ".blk") {
			entered <- struct{}{}
			<-release
		}
		return nil
	})
	seq := s.publish("message")
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 3)
	go func() { result <- s.Synced(ctx, "S", seq) }()
	<-entered
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("after its context has ended, Synced returns %v", err)
	}
	go func() { result <- s.Synced(t.Context(), "S", seq) }()
	go func() { result <- s.Synced(t.Context(), "S", seq+1) }() // which is never published
	stopped := make(chan struct{})
	go func() { s.Stop(); close(stopped) }()
	close(release)
	errs := []error{<-result, <-result}
	<-stopped
	if errs[0] == nil && errs[1] == nil {
		t.Error("a message that was never stored is synced")
	}
	if err := s.Synced(t.Context(), "S", seq+1); err == nil {
		t.Error("a stopped server syncs")
	}
	if err := disk.holds(s.config.Dir, "S", "message"); err != nil {
		t.Errorf("after Stop: %v", err)
	}
}

// publishSynced publishes to S and waits for the sync.
func (s *testServer) publishSynced(body string) uint64 {
	s.t.Helper()
	seq := s.publish(body)
	if err := s.Synced(s.t.Context(), "S", seq); err != nil {
		s.t.Fatal(err)
	}
	return seq
}
