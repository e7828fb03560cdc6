package decider

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Snapshot declares that the state of an entity type is kept on the disk, so that an entity with
// very many events need not be folded from the first one after a start. A snapshot is a cache: it is
// compared with the log before it is used, and nothing is lost without it. It holds the state in
// plain text, so a state with sealed members must have none.
type Snapshot[S any] struct {
	// Version is that of the state. It must change whenever Evolve makes another state of the same
	// events, or Encode writes the same state differently; kittest.CheckFold notices. A snapshot of
	// another version is ignored.
	Version int
	// Encode writes all of the state. It is called while decisions on the entity wait, so it only
	// copies what will change; the function that it returns is called later, and writes that.
	Encode func(S) func() ([]byte, error)
	// Decode reads what Encode wrote.
	Decode func([]byte) (S, error)
}

// snapshotFormat is the version of snapshotFile.
const snapshotFormat = 1

// DefaultSnapshotEvery is the number of events of an entity from one snapshot to the next.
const DefaultSnapshotEvery = 10_000

// snapshotFile is the content of a snapshot's file, behind its checksum.
type snapshotFile struct {
	Format, Version int
	Stream          string
	Created         time.Time // when the stream was created
	Filter          string    // which events were folded
	Sequence        uint64    // of the last of them
	Event           string    // its id
	Floor           uint64    // of the window
	Commands        []commandEvent
	State           []byte
}

// errUnusable means that a snapshot is not used, which costs nothing but time.
var errUnusable = errors.New("the entity is folded from its first event")

func encodeSnapshot(f snapshotFile) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, sha256.Size))
	if err := gob.NewEncoder(&b).Encode(f); err != nil {
		return nil, err
	}
	data := b.Bytes()
	sum := sha256.Sum256(data[sha256.Size:])
	copy(data, sum[:])
	return data, nil
}

func decodeSnapshot(data []byte) (f snapshotFile, err error) {
	if len(data) < sha256.Size {
		return f, fmt.Errorf("it is too short: %w", errUnusable)
	}
	if sum := sha256.Sum256(data[sha256.Size:]); !bytes.Equal(sum[:], data[:sha256.Size]) {
		return f, fmt.Errorf("its checksum is wrong: %w", errUnusable)
	}
	if err := gob.NewDecoder(bytes.NewReader(data[sha256.Size:])).Decode(&f); err != nil {
		return f, fmt.Errorf("%w: %w", err, errUnusable)
	}
	return f, nil
}

// restore brings an entity that was not folded yet to its snapshot, if there is one that agrees
// with the log. The error says that the log did not answer.
func (d *Decider[S]) restore(ctx context.Context, e *entity[S]) error {
	if e.restored || d.entityType.Snapshot == nil || d.config.Snapshots == nil || e.sequence > 0 {
		return nil
	}
	data, err := d.config.Snapshots.read(e.filter)
	if data == nil && err == nil {
		e.restored = true
		return nil
	}
	if err == nil {
		err = d.apply(ctx, e, data)
	}
	switch {
	case errors.Is(err, errUnusable):
		d.config.Snapshots.logger().Warn("a snapshot is ignored", "entity", e.filter, "reason", err)
		err = nil
	case err == nil:
		d.config.Snapshots.logger().Debug("a snapshot is used", "entity", e.filter, "sequence", e.sequence)
	}
	e.restored = err == nil
	return err
}

// apply sets an entity to a snapshot.
func (d *Decider[S]) apply(ctx context.Context, e *entity[S], data []byte) error {
	f, err := decodeSnapshot(data)
	if err != nil {
		return err
	}
	if f.Format != snapshotFormat || f.Version != d.entityType.Snapshot.Version || f.Stream != e.stream || f.Filter != e.filter {
		return fmt.Errorf("it is of version %d.%d for %s on %s, not %d.%d: %w",
			f.Format, f.Version, f.Filter, f.Stream, snapshotFormat, d.entityType.Snapshot.Version, errUnusable)
	}
	if err := d.compare(ctx, f); err != nil {
		return err
	}
	state, err := d.entityType.Snapshot.Decode(f.State)
	if err != nil {
		return fmt.Errorf("%w: %w", err, errUnusable)
	}
	e.state, e.sequence, e.eventID = state, f.Sequence, f.Event
	e.commands.restore(f.Commands, f.Floor)
	return nil
}

// compare compares a snapshot with the log.
func (d *Decider[S]) compare(ctx context.Context, f snapshotFile) error {
	created, err := d.log.Created(ctx, f.Stream)
	if err != nil {
		return unavailable(err)
	}
	if !created.Equal(f.Created) {
		return fmt.Errorf("it is of a stream that was created at %s, not %s: %w", f.Created, created, errUnusable)
	}
	at, err := d.log.At(ctx, f.Stream, f.Sequence)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return fmt.Errorf("the log has no event at %d: %w", f.Sequence, errUnusable)
	case err != nil:
		return unavailable(err)
	case at.ID != f.Event:
		return fmt.Errorf("the log has event %q at %d, not %q: %w", at.ID, f.Sequence, f.Event, errUnusable)
	}
	return nil
}

// image is the snapshot of an entity at one moment, before its state is written.
type image struct {
	snapshotFile
	encode func() ([]byte, error)
}

// image returns the image of an entity that was acquired, without the stream's creation time.
func (d *Decider[S]) image(e *entity[S]) image {
	return image{snapshotFile{Format: snapshotFormat, Version: d.entityType.Snapshot.Version, Stream: e.stream, Filter: e.filter,
		Sequence: e.sequence, Event: e.eventID, Floor: e.commands.floor, Commands: e.commands.inOrder()}, d.entityType.Snapshot.Encode(e.state)}
}

// save writes a snapshot, once what it rests on is synced.
func (d *Decider[S]) save(ctx context.Context, i image) (err error) {
	f := i.snapshotFile
	if f.State, err = i.encode(); err != nil {
		return err
	}
	if err := d.log.AwaitSync(ctx, f.Stream, f.Sequence); err != nil {
		return err
	}
	if err := d.log.DataLoss(); err != nil {
		return err
	}
	if f.Created, err = d.log.Created(ctx, f.Stream); err != nil {
		return err
	}
	data, err := encodeSnapshot(f)
	if err != nil {
		return err
	}
	return d.config.Snapshots.write(f.Filter, data)
}

// isDue reports whether an entity needs a snapshot after so many more events.
func (d *Decider[S]) isDue(e *entity[S], events int) bool {
	return d.entityType.Snapshot != nil && d.config.Snapshots != nil && e.unsaved >= events && e.eventID != ""
}

// saveIfDue begins to write a snapshot of an entity that was acquired, if it has changed much
// since the last one.
func (d *Decider[S]) saveIfDue(e *entity[S]) {
	if !d.isDue(e, d.config.Snapshots.every()) || !e.saving.CompareAndSwap(false, true) {
		return
	}
	i := d.image(e)
	e.unsaved = 0
	d.config.Snapshots.writing.Go(func() {
		defer e.saving.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
		defer cancel()
		d.config.Snapshots.report(i.Filter, d.save(ctx, i))
	})
}

// saveAll writes a snapshot of every entity that has changed since its last one.
func (d *Decider[S]) saveAll(ctx context.Context) {
	d.mu.Lock()
	ids := d.cache.Keys()
	d.mu.Unlock()
	for _, id := range ids {
		e, release, err := d.acquire(ctx, id)
		if err != nil {
			return
		}
		if ctx.Err() != nil {
			release()
			return
		}
		if d.isDue(e, 1) {
			d.config.Snapshots.report(e.filter, d.save(ctx, d.image(e)))
			e.unsaved = 0
		}
		release()
	}
}
