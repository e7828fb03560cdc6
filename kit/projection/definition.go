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
	"lonja/kit/streams"
)

// Definition describes a view. Name, Schema, Reads and Project are required.
type Definition struct {
	Name   string   // unique within the service; part of file and consumer names: letters, digits, - and _
	Schema string   // SQL that creates the view's tables; a changed text rebuilds the view
	Reads  []Source // the streams that the view is built from; a change rebuilds the view
	// Project writes the rows of one event. It must depend on nothing but the event and
	// the rows, and must not rely on the order of events from different streams, so that
	// a rebuild makes the same rows. It runs again for an event whose transaction was
	// rolled back, and in every rebuild. An error or a panic counts as a bug in the
	// definition and stops the view. There are two exceptions: an SQLite error that may
	// pass, such as a full disk, is retried, and a damaged file has the view rebuilt.
	Project func(*Tx, eventlog.Record) error
	// Commands makes the view remember which command caused which event of its first stream:
	// see View.CommandEntity and View.CommandEvent. It does not remember reactions, whose ids
	// nobody chooses.
	Commands bool
	// Outdated is an SQL statement that deletes the rows which nobody needs at a time, which it gets
	// as ?1, in microseconds since 1970; "" deletes none. The view runs it about once a minute, by its
	// clock. It must depend on nothing but the rows and the time, and on no row that Project still needs: a view that is
	// rebuilt later has fewer rows of a stream that removes events by their age, and must have
	// the same once both are without what is outdated.
	Outdated string
	// Introduces names a stream of Reads that earlier versions of the view do not read; see
	// View.IsIntroduced. "" means none.
	Introduces string
	// LateIndexes lets a rebuild create the indexes of Schema that are not unique after the rows, which
	// takes much less time than to keep them. Set it if no statement of Project searches by one of them.
	LateIndexes bool
	// Version must change when Project makes other rows from the same events: a new value
	// rebuilds the view. Its form is free.
	Version string

	streams []Source // Reads with a source for each partition; see sources
}

// sources returns what the view reads: Reads, and the same on all partitions of its streams.
// Partitions are no part of the definition: a new one is read from its beginning, without a rebuild.
func (d *Definition) sources() []Source {
	if d.streams == nil {
		return d.Reads
	}
	return d.streams
}

// spread makes the definition read the partitions of a layout.
func (d *Definition) spread(l streams.Layout) {
	if len(l) == 0 {
		return
	}
	d.streams = nil
	for _, src := range d.Reads {
		for _, stream := range l.Partitions(src.Stream) {
			d.streams = append(d.streams, Source{Stream: stream, Subjects: streams.SubjectsOn(stream, src.Subjects)})
		}
	}
}

// Source is a stream and the subjects that a view reads from it. Subjects must not be
// empty. When they are not exactly the stream's own, the view cannot tell from deliveries
// alone that it has caught up. It then asks the stream, at a limited rate and while a
// caller waits, whether any event that it reads is still missing.
type Source struct {
	Stream   string
	Subjects []string
}

// Config says where a view stores its rows and where its events come from. View.Open
// requires all fields but OnChange, CheckInterval and QueryTime.
type Config struct {
	JetStream jetstream.JetStream
	Log       *eventlog.Log
	Dir       string // the replica's directory; created when missing
	Consumer  string // prefix of the durable consumers' names, such as "orders-a"
	Logger    *slog.Logger
	// DeadLetter stores a message that cannot be decoded as an event; the view then skips
	// it. It must return nil only when the message is durable, since the view does not
	// come back to it. An error makes the view try again, so it may run twice for one message.
	DeadLetter func(context.Context, eventlog.Record) error
	// OnChange receives the keys that projections marked with Tx.MarkChanged, after the
	// commit, when queries already show the change. Calls come in the order of each
	// stream, at most once for an event: a crash after the commit loses one. OnChange must
	// not block. Nil ignores the keys. A rebuild reports none.
	OnChange func([]KeyChange)
	// CheckInterval is the time between two checks that the view's file is still there
	// and undamaged; 0 means five seconds.
	CheckInterval time.Duration
	// QueryTime is how long a query may take whose context has no deadline; 0 means five
	// seconds.
	QueryTime time.Duration
}

// The text of the schemas is part of the definition's hash, comments included: a change to
// one byte rebuilds all views. So their older words stay: a fact is an event, and "passed"
// holds the skipped messages.

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

// commandsSchema holds, for each command id, the events that it caused and their entities: one,
// unless somebody used an id again for another entity.
const commandsSchema = `
CREATE TABLE wishes (
	id       BLOB NOT NULL,    -- eventlog.CompactID
	sequence INTEGER NOT NULL,
	entity   TEXT NOT NULL,
	PRIMARY KEY (id, sequence)
) WITHOUT ROWID;`

func (d *Definition) schema() string {
	schema := checkpointSchema + d.Schema
	if d.Commands {
		schema += ";" + commandsSchema
	}
	return schema
}

// hash identifies what the rows look like. It is part of the file name: a view whose file
// has another hash is rebuilt.
func (d *Definition) hash() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%v", d.schema(), d.Version, d.Reads)
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// userVersion returns the first four bytes of a hash, which is what SQLite's user_version
// has room for. A file that holds another value is not the one that its name claims.
func userVersion(hash string) int32 {
	b, err := hex.DecodeString(hash)
	if err != nil || len(b) < 4 {
		return 0
	}
	return int32(binary.BigEndian.Uint32(b))
}
