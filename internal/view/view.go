// Package view builds SQLite read models out of facts.
//
// A view is a pure function of the log: a schema, and a projection from one
// fact to rows. Each replica of a service has files of its own, fed by durable
// consumers of its own. A batch of facts, their rows and the checkpoint go in
// one transaction; the acknowledgement follows the commit. So a view is never
// ahead of its checkpoint nor behind it, and can be thrown away at any time.
package view

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/internal/eventlog"
	"lonja/internal/refusal"
)

// Definition describes a view.
type Definition struct {
	Name   string   // unique within its service
	Schema string   // SQL that makes its tables
	Reads  []Source // what it is made of
	// Project turns one fact into rows. It must depend on nothing but the fact
	// and the rows, and must not rely on the order of facts of different
	// streams. An error is a bug: it stops the view.
	Project func(*Tx, eventlog.Recorded) error
	// Wishes makes the view remember which wish recorded what, so that a wish
	// which comes again for another entity is noticed; see WishedFor.
	Wishes bool
	// Version is changed when Project changes what it makes of old facts, so
	// that the view is built anew.
	Version string
}

// Source is a stream and what is read of it.
type Source struct {
	Stream   string
	Subjects []string
}

// Config says where a view lives and what feeds it.
type Config struct {
	JetStream jetstream.JetStream
	Log       *eventlog.Log
	Dir       string // of the replica; made when missing
	Consumer  string // prefix of the durable consumers' names: "orders-a"
	Logger    *slog.Logger
	// DeadLetter is told of each message that is no fact. It must be durable
	// when it returns nil; it may be told twice.
	DeadLetter func(context.Context, eventlog.Recorded) error
}

// View is a running view. Make it with New, then Open and Run it.
type View struct {
	def    Definition
	config Config
	db     *sql.DB
	conn   *sql.Conn // writes, inside write
	stmts  map[string]*sql.Stmt
	*Reader
	feeds []*feed
	write sync.Mutex // one transaction at a time, from any stream

	mu       sync.Mutex
	progress map[string]uint64 // stream -> sequence that the rows stand at
	moved    chan struct{}     // closed and replaced when progress is made
	failed   error             // why the view stopped, if it did
}

// New makes a view of a definition. It panics when something is missing.
func New(def Definition) *View {
	if def.Name == "" || def.Schema == "" || def.Project == nil || len(def.Reads) == 0 {
		panic("view: a definition needs Name, Schema, Reads and Project")
	}
	return &View{def: def, stmts: map[string]*sql.Stmt{}, progress: map[string]uint64{}, moved: make(chan struct{})}
}

// Name is the definition's.
func (v *View) Name() string { return v.def.Name }

// Sources are the streams that the view is made of.
func (v *View) Sources() []Source { return v.def.Reads }

// hash changes whenever the view must be built anew.
func (v *View) hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%v\n%v", v.def.Schema, v.def.Version, v.def.Reads, v.def.Wishes)
	return hex.EncodeToString(h.Sum(nil)[:6])
}

const checkpointSchema = `
CREATE TABLE IF NOT EXISTS checkpoint (
	stream   TEXT PRIMARY KEY,
	created  TEXT NOT NULL,    -- when the stream was: a recreated one is another log
	sequence INTEGER NOT NULL, -- of the last fact in the rows
	event    TEXT NOT NULL     -- its id
) WITHOUT ROWID;`

// The wishes that are remembered, by the id of the command.
const wishesSchema = `
CREATE TABLE wishes (
	id     TEXT PRIMARY KEY,
	entity TEXT NOT NULL
) WITHOUT ROWID;`

// Open opens the file, makes the tables when it is new, verifies that the log
// still holds what the rows were made of, and readies the consumers.
func (v *View) Open(ctx context.Context, config Config) error {
	v.config = config
	if err := os.MkdirAll(config.Dir, 0o750); err != nil {
		return err
	}
	path := filepath.Join(config.Dir, v.def.Name+"-"+v.hash()+".db")
	var err error
	if v.db, v.conn, err = openWriter(ctx, path); err != nil {
		return fmt.Errorf("open view %s: %w", v.def.Name, err)
	}
	if err := v.createTables(ctx); err != nil {
		return fmt.Errorf("open view %s: %w", v.def.Name, err)
	}
	readers, err := openReaders(path)
	if err != nil {
		return fmt.Errorf("open view %s: %w", v.def.Name, err)
	}
	v.Reader = &Reader{db: readers}
	for _, src := range v.def.Reads {
		f := &feed{view: v, source: src}
		if err := f.open(ctx); err != nil {
			return fmt.Errorf("open view %s: %w", v.def.Name, err)
		}
		v.feeds = append(v.feeds, f)
	}
	return nil
}

func (v *View) createTables(ctx context.Context) error {
	var tables int
	err := v.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'checkpoint'").Scan(&tables)
	if err != nil || tables > 0 {
		return err
	}
	schema := checkpointSchema + v.def.Schema
	if v.def.Wishes {
		schema += ";" + wishesSchema
	}
	_, err = v.conn.ExecContext(ctx, "BEGIN IMMEDIATE;"+schema+";COMMIT;")
	return err
}

// Run feeds the view until ctx ends, then closes it. It returns nil, or why
// the view had to stop before.
func (v *View) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var running sync.WaitGroup
	for _, f := range v.feeds {
		running.Go(func() {
			if err := f.run(ctx); err != nil && ctx.Err() == nil {
				v.fail(fmt.Errorf("view %s, stream %s: %w", v.def.Name, f.source.Stream, err))
				stop(err)
			}
		})
	}
	running.Wait()
	return v.Failed()
}

// Close closes the file. Queries fail from then on.
func (v *View) Close() error {
	if v.db == nil {
		return nil
	}
	return errors.Join(v.Reader.db.Close(), v.conn.Close(), v.db.Close())
}

func (v *View) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failed == nil {
		v.failed = err
	}
}

// Failed is why the view stopped, nil while it runs.
func (v *View) Failed() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.failed
}

func (v *View) reached(stream string, seq uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if seq > v.progress[stream] {
		v.progress[stream] = seq
		close(v.moved)
		v.moved = make(chan struct{})
	}
}

// Moved is closed when the rows change for the next time.
func (v *View) Moved() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.moved
}

// Await waits until the rows hold everything that the token speaks of, as far
// as the view reads it. It is an Unavailable refusal when ctx ends before.
func (v *View) Await(ctx context.Context, token Token) error {
	for {
		v.mu.Lock()
		behind, moved := "", v.moved
		for _, src := range v.def.Reads {
			if token[src.Stream] > v.progress[src.Stream] {
				behind = src.Stream
			}
		}
		v.mu.Unlock()
		if behind == "" {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return refusal.New(refusal.Unavailable, "view %s has not yet caught up with %s; try again", v.def.Name, behind)
		}
	}
}

// Lag is how many facts the rows are behind their streams, for each stream.
func (v *View) Lag(ctx context.Context) (map[string]uint64, error) {
	lag := make(map[string]uint64, len(v.feeds))
	for _, f := range v.feeds {
		n, err := f.lag(ctx)
		if err != nil {
			return nil, err
		}
		lag[f.source.Stream] = n
	}
	return lag, nil
}

// WishedFor is the entity that a wish was recorded for, "" when it is none that
// the view remembers. The view may be behind: the last minutes must be known
// from elsewhere, as they are from the stream's own window of duplicates.
func (v *View) WishedFor(ctx context.Context, wish string) (entity string, err error) {
	_, err = v.Get(ctx, `SELECT entity FROM wishes WHERE id = ?`, []any{wish}, &entity)
	return entity, err
}

// consumerName is the durable consumer's on one stream. The service's and
// replica's names are in the prefix, so an operator sees whose lag it is.
func (v *View) consumerName(stream string) string {
	return strings.Join([]string{v.config.Consumer, v.def.Name, strings.ToLower(stream)}, "-")
}
