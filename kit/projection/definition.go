package projection

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/eventlog"
)

// Definition describes a view.
type Definition struct {
	Name   string   // unique within its service
	Schema string   // SQL that makes its tables
	Reads  []Source // what it is made of
	// Project turns one event into rows. It must depend on nothing but the event
	// and the rows, and must not rely on the order of events of different
	// streams. An error is a bug: it stops the view.
	Project func(*Tx, eventlog.Record) error
	// Commands makes the view remember which command recorded what, so that a command
	// which comes again for another entity is noticed; see CommandEntity.
	Commands bool
	// Version is changed when Project changes what it makes of old events, so
	// that the view is built anew.
	Version string
}

// Source is a stream and what is read of it: all of its subjects or some. A
// view that reads some knows by asking the stream, now and then while somebody
// waits, that an event which it does not read is none that it lacks.
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
	// DeadLetter is told of each message that is no event. It must be durable
	// when it returns nil; it may be told twice.
	DeadLetter func(context.Context, eventlog.Record) error
	// Touched is told which keys projections touched, once that is committed and
	// answers show it. It is called in order for each stream, and must not block.
	// Nil means that nobody wants to know. A build tells nothing.
	Touched func([]Touch)
	// Watch is how often the view's file is looked after; 0 means every five seconds.
	Watch time.Duration
}

const checkpointSchema = `
CREATE TABLE checkpoint (
	stream   TEXT PRIMARY KEY,
	created  TEXT NOT NULL,    -- when the stream was: a recreated one is another log
	sequence INTEGER NOT NULL, -- of the last fact in the rows
	event    TEXT NOT NULL,    -- its id
	sum      INTEGER NOT NULL  -- of these, so that a damaged row is not taken for another log
) WITHOUT ROWID;
CREATE TABLE passed (        -- messages that were no facts to the program which made the rows
	stream   TEXT NOT NULL,
	sequence INTEGER NOT NULL,
	type     TEXT NOT NULL,
	PRIMARY KEY (stream, sequence)
) WITHOUT ROWID;`

// The commands that are remembered, by the id of the command.
const commandsSchema = `
CREATE TABLE wishes (
	id     TEXT PRIMARY KEY,
	entity TEXT NOT NULL
) WITHOUT ROWID;`

func (d *Definition) schema() string {
	schema := checkpointSchema + d.Schema
	if d.Commands {
		schema += ";" + commandsSchema
	}
	return schema
}

// hash changes whenever the view must be built anew.
func (d *Definition) hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%v", d.schema(), d.Version, d.Reads)
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// mark is what of a hash a file bears within it, where SQLite has room for
// four bytes. A file that bears another is not what its name says.
func mark(hash string) int32 {
	b, err := hex.DecodeString(hash)
	if err != nil || len(b) < 4 {
		return 0
	}
	return int32(binary.BigEndian.Uint32(b))
}
