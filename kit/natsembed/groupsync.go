package natsembed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	// sweepInterval is how often everything is synced that nobody waits for: what other
	// programs publish, and what consumers have acknowledged.
	sweepInterval = time.Second
	// slowSync is how long one sync may take until the store counts as failed.
	slowSync = 5 * time.Second
)

// errStopped is why nothing is synced after Stop.
var errStopped = errors.New("the NATS server has stopped")

// groupSync syncs the messages of all streams of a store that is open, until the first sync
// fails: a second one of the same file may succeed although the disk never got the data.
type groupSync struct {
	dir       string // of the store
	fsync     func(*os.File) error
	observe   func(waiters int, took time.Duration)
	onFailure func()
	consumers consumerStates
	reason    atomic.Pointer[error] // why nothing is synced any more; nil while everything is
	quit      chan struct{}
	done      chan struct{} // closed when the sweep has ended

	mu      sync.Mutex
	streams map[string]*streamSync
}

// newGroupSync prepares the syncs of a store that is not open yet, and whose files are on the
// disk as they read. OnFailure is called after the first sync that fails.
func newGroupSync(c Config, onFailure func()) (*groupSync, error) {
	dir := filepath.Clean(c.Dir)
	g := &groupSync{dir: dir, fsync: c.fsync, observe: c.OnSync, onFailure: onFailure, consumers: consumerStates{dir: dir},
		quit: make(chan struct{}), done: make(chan struct{}), streams: map[string]*streamSync{}}
	if g.fsync == nil {
		g.fsync = (*os.File).Sync
	}
	if g.observe == nil {
		g.observe = func(int, time.Duration) {}
	}
	held, err := streamsIn(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range held {
		s, _ := g.stream(name)
		numbers, err := blocksIn(s.dir)
		if err != nil {
			return nil, err
		}
		s.pending = numbers[len(numbers)-1] // the server starts no block before it has filled this one
	}
	return g, nil
}

// start syncs what there is, and, from time to time, what is written from now on.
func (g *groupSync) start() error {
	if err := g.sweep(); err != nil {
		close(g.done)
		return err
	}
	go func() {
		defer close(g.done)
		tick := time.NewTicker(sweepInterval)
		defer tick.Stop()
		for {
			select {
			case <-g.quit:
				return
			case <-tick.C:
			}
			if g.sweep() != nil {
				return
			}
		}
	}()
	return nil
}

// streamsDir is the folder with a folder for each stream.
func streamsDir(dir string) string {
	return filepath.Join(dir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT, "streams")
}

// stream returns the stream's sync.
func (g *groupSync) stream(name string) (*streamSync, error) {
	if err := g.stopped(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.streams[name]
	if s == nil {
		s = &streamSync{name: name, dir: filepath.Join(streamsDir(g.dir), name, "msgs"), group: g, buffer: make([]byte, 64<<10)}
		g.streams[name] = s
	}
	return s, nil
}

// await waits until a message is on the disk.
func (g *groupSync) await(ctx context.Context, stream string, seq uint64) error {
	if filepath.Base(stream) != stream {
		return fmt.Errorf("%q is no stream", stream)
	}
	s, err := g.stream(stream)
	if err != nil {
		return err
	}
	return s.await(ctx, seq)
}

// sweep syncs every stream, and the state of every consumer.
func (g *groupSync) sweep() error {
	entries, err := os.ReadDir(streamsDir(g.dir))
	if err = ignoreMissing(err); err != nil {
		return g.stop(err)
	}
	var all sync.WaitGroup
	for _, e := range entries {
		if s, err := g.stream(e.Name()); err == nil && e.IsDir() {
			all.Go(func() { _ = s.sweep() }) // stopped knows of a failure
		}
	}
	g.dropRemoved()
	all.Wait()
	if err := g.stopped(); err != nil {
		return err
	}
	if err := g.consumers.save(); err != nil {
		return g.stop(err)
	}
	return nil
}

// dropRemoved drops the streams whose folders were removed, so that nothing of them is missed.
func (g *groupSync) dropRemoved() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, s := range g.streams {
		if _, err := os.Stat(filepath.Dir(s.dir)); errors.Is(err, os.ErrNotExist) {
			delete(g.streams, name)
			go s.close()
		}
	}
}

// stop notes why nothing is synced any more, and returns the first reason. After it, nobody
// who waits is told that a message is on the disk.
func (g *groupSync) stop(reason error) error {
	if g.reason.CompareAndSwap(nil, &reason) && !errors.Is(reason, errStopped) {
		go g.onFailure()
	}
	return g.stopped()
}

// stopped returns why nothing is synced any more, nil if everything is.
func (g *groupSync) stopped() error {
	if reason := g.reason.Load(); reason != nil {
		return *reason
	}
	return nil
}

// close ends the sweep and closes the files. Whoever still waits gets an error, unless a last
// sync succeeds.
func (g *groupSync) close() {
	_ = g.sweep()
	_ = g.stop(errStopped)
	close(g.quit)
	<-g.done
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.streams {
		s.close()
	}
}

// ends returns the last sequence of each stream that is on the disk.
func (g *groupSync) ends() map[string]uint64 {
	ends := map[string]uint64{}
	g.each(func(s *streamSync) { ends[s.name] = s.synced })
	return ends
}

// inDoubt returns the number of the first block that may not be on the disk, by folder.
func (g *groupSync) inDoubt() map[string]int {
	first := map[string]int{}
	g.each(func(s *streamSync) { first[s.dir] = s.pending })
	return first
}

// slow reports whether a sync takes longer than slowSync.
func (g *groupSync) slow() (slow bool) {
	g.each(func(s *streamSync) { slow = slow || s.running != nil && time.Since(s.began) > slowSync })
	return slow
}

// each calls f for each stream, with its lock held.
func (g *groupSync) each(f func(*streamSync)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.streams {
		s.mu.Lock()
		f(s)
		s.mu.Unlock()
	}
}

// GroupSuffix ends the name of a server whose acknowledgements come before the sync; see
// [Config.SyncGroup]. Clients see it in nats.Conn.ConnectedServerName.
const GroupSuffix = "-syncs-later"
