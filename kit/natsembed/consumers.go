package natsembed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// consumerStates keeps a synced copy of what the consumers of a store have delivered and
// acknowledged.
//
// A server that does not sync each write replaces a consumer's state file without syncing it,
// up to ten times a second. After a power cut, such a file may have its new name and half of
// its content, without a checksum to tell: a message that was delivered and not acknowledged
// could be missing in it, and would never come again. Syncing each of them costs more than the
// messages do. So one file holds all states, as of at most a second ago, and the server starts
// from that. An older state is as good: what came after it is delivered again. A server that
// finds its consumer ahead of a stream, which lost what nobody relies on, moves it back.
type consumerStates struct {
	dir   string // of the store
	saved map[string]os.FileInfo
}

// savedConsumer is one consumer's entry in the file.
type savedConsumer struct {
	Created time.Time // a consumer that was created later has the name only
	State   []byte    // as the server wrote it
}

const (
	consumersFile = ".consumers"
	stateFile     = "o.dat"
	metaFile      = server.JetStreamMetaFile
)

// save writes the states to the file, if any has changed.
func (c *consumerStates) save() error {
	now, err := c.files()
	if err != nil || c.same(now) {
		return err
	}
	states := map[string]savedConsumer{}
	for path := range now {
		saved, err := readConsumer(filepath.Join(c.dir, path))
		if errors.Is(err, os.ErrNotExist) {
			continue // it was deleted meanwhile
		}
		if err != nil {
			return err
		}
		states[path] = saved
	}
	data, err := json.Marshal(states)
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(c.dir, consumersFile), data); err != nil {
		return err
	}
	c.saved = now
	return nil
}

// files returns the state files, by their path in the store.
func (c *consumerStates) files() (map[string]os.FileInfo, error) {
	found := map[string]os.FileInfo{}
	store := os.DirFS(c.dir)
	paths, err := fs.Glob(store, "jetstream/*/streams/*/obs/*/"+stateFile)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		info, err := fs.Stat(store, path)
		if err == nil {
			found[path] = info
		} else if ignoreMissing(err) != nil {
			return nil, err
		}
	}
	return found, nil
}

// same reports whether the files are those that were saved last. The server replaces a file
// to change it.
func (c *consumerStates) same(now map[string]os.FileInfo) bool {
	for path, info := range now {
		before, ok := c.saved[path]
		if !ok || !os.SameFile(before, info) || !before.ModTime().Equal(info.ModTime()) || before.Size() != info.Size() {
			return false
		}
	}
	return c.saved != nil && len(now) == len(c.saved)
}

// readConsumer reads the state at path and when its consumer was created.
func readConsumer(path string) (saved savedConsumer, err error) {
	meta, err := os.ReadFile(filepath.Join(filepath.Dir(path), metaFile))
	if err != nil {
		return saved, err
	}
	var info server.FileConsumerInfo
	if err := json.Unmarshal(meta, &info); err != nil {
		return saved, fmt.Errorf("%s: %w", filepath.Join(filepath.Dir(path), metaFile), err)
	}
	saved.Created = info.Created
	saved.State, err = os.ReadFile(path)
	return saved, err
}

// restore gives the consumers of a closed store the states that were saved, if any were, and
// forgets the others: such a consumer is not a second old, and begins again.
func (c *consumerStates) restore() error {
	data, err := os.ReadFile(filepath.Join(c.dir, consumersFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil // the server has synced each state
	}
	if err != nil {
		return err
	}
	var states map[string]savedConsumer
	if err := json.Unmarshal(data, &states); err != nil {
		return fmt.Errorf("%s is damaged; restore it, or remove it together with every consumer's %s, and all consumers begin again: %w",
			filepath.Join(c.dir, consumersFile), stateFile, err)
	}
	found, err := c.files()
	if err != nil {
		return err
	}
	for path := range found {
		if err := restoreConsumer(filepath.Join(c.dir, path), states[path]); err != nil {
			return err
		}
	}
	return nil
}

// restoreConsumer writes a consumer's saved state to path. A consumer that was created at
// another time, or whose description cannot be read, has none.
func restoreConsumer(path string, saved savedConsumer) error {
	current, err := readConsumer(path)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax), errors.Is(err, os.ErrNotExist): // cut off when it was created; the server would skip it, and not create it again
		return errors.Join(os.RemoveAll(filepath.Dir(path)), syncFile(filepath.Dir(filepath.Dir(path)), (*os.File).Sync))
	case err != nil:
		return err
	case saved.State == nil || !saved.Created.Equal(current.Created):
		return errors.Join(os.Remove(path), syncFile(filepath.Dir(path), (*os.File).Sync))
	case string(saved.State) == string(current.State):
		return nil
	}
	return writeSynced(path, saved.State)
}

// discard removes the file of saved states.
func (c *consumerStates) discard() error {
	if err := os.Remove(filepath.Join(c.dir, consumersFile)); err != nil {
		return ignoreMissing(err)
	}
	return syncFile(c.dir, (*os.File).Sync)
}

// writeSynced replaces a file at once by one that is on the disk.
func writeSynced(path string, data []byte) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path), (*os.File).Sync)
}
