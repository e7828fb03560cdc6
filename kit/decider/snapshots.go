package decider

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Snapshots is the folder in which deciders keep snapshots. Several deciders may share it, but
// not several processes. Its fields must not change once a decider is bound to it.
type Snapshots struct {
	Dir    string       // created when missing
	Every  int          // events of an entity from one snapshot to the next; 0 means DefaultSnapshotEvery
	Logger *slog.Logger // nil discards

	mu      sync.Mutex
	savers  []func(context.Context) // one for each decider
	writing sync.WaitGroup
}

// saveTimeout is how long a snapshot may wait for the log and the disk.
const saveTimeout = 10 * time.Second

// Save writes a snapshot of every entity that has changed since its last one, and returns when
// all are written, or when ctx ends. What cannot be written is logged. Call it when no more
// decisions are made.
func (s *Snapshots) Save(ctx context.Context) {
	s.mu.Lock()
	savers := s.savers
	s.mu.Unlock()
	s.writing.Wait()
	for _, save := range savers {
		save(ctx)
	}
}

// register adds a decider.
func (s *Snapshots) register(save func(context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.savers = append(s.savers, save)
}

// every may be called without snapshots.
func (s *Snapshots) every() int {
	if s == nil || s.Every == 0 {
		return DefaultSnapshotEvery
	}
	return s.Every
}

func (s *Snapshots) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

func (s *Snapshots) report(entity string, err error) {
	if err != nil {
		s.logger().Warn("a snapshot was not written; after a start, more events are folded again", "entity", entity, "reason", err)
	}
}

// path returns the path of an entity's snapshot.
func (s *Snapshots) path(filter string) string {
	return filepath.Join(s.Dir, url.PathEscape(filter)+".snapshot")
}

// read returns the content of an entity's snapshot, nil if there is none.
func (s *Snapshots) read(filter string) ([]byte, error) {
	data, err := os.ReadFile(s.path(filter))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errors.Join(errUnusable, err)
	}
	return data, nil
}

// write replaces an entity's snapshot at once or not at all.
func (s *Snapshots) write(filter string, data []byte) error {
	if err := os.MkdirAll(s.Dir, 0o750); err != nil {
		return err
	}
	temp, err := os.Create(s.path(filter) + ".tmp")
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), s.path(filter)); err != nil {
		return err
	}
	return syncDir(s.Dir)
}

// syncDir puts a folder's entries on the disk.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
