package decider

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// EntityType describes a type of entity with the state S: where its events are recorded
// and how they make up the state. It must have Subject, Stream, and one of Evolve and
// EvolveRecord.
type EntityType[S any] struct {
	// Subject is the beginning of the subjects of its events, "events.order". The entity's
	// id and the event's name follow.
	Subject string
	// Stream is the stream that records its events.
	Stream string
	// Prefix begins the ids of new entities, "ord_". It is not used if commands always
	// carry an entity's id.
	Prefix string
	// ReplyFromEvents promises that replies depend on the event alone and never on the
	// state. Then a repeated command can be answered without folding the state of that
	// time again. It is meant for entities with very many events.
	ReplyFromEvents bool
	// Erased reports whether an entity was erased, by its state. What it was must not be
	// shown any more, so a command that is repeated then gets errs.NotFound instead of its
	// first reply. Nil means that entities are never erased.
	Erased func(S) bool
	// New returns the state before the first event; nil means the zero S.
	New func() S
	// Evolve returns the state after an event, which happened at the given time. It decides
	// nothing and cannot fail. It may reuse the state that it is given.
	Evolve func(s S, event eventlog.Event, at time.Time) S
	// EvolveRecord is Evolve for a state that also depends on the event's position in the
	// log or on its envelope.
	EvolveRecord func(s S, event eventlog.Record) S
	// Snapshot keeps the state on the disk; nil does not. It is meant for entities with very
	// many events.
	Snapshot *Snapshot[S]
	// Expires declares that the stream removes messages by their age. So an entity's first events
	// may be gone, or all, and its last event alone must lead to the same state as all of them. An
	// entity whose events are gone is one that never had any. A command is remembered as long as
	// its event is there.
	Expires bool
	// Former is where older entities of this type are recorded; nil if they are all on Stream.
	Former *Former
}

// Command identifies what is to be decided: a command, or a reaction to an event. The
// payload is not part of it; the Decide function knows that.
type Command struct {
	// Envelope is the command's. Its ID makes the command take effect once; its RequestHash
	// distinguishes two commands with the same ID.
	eventlog.Envelope
	EntityID string // the entity to decide on; empty for a new one, whose id is derived from ID
	// SameEntity promises that ID never comes with another EntityID. Without the promise, the
	// sender may use ID again for another entity by mistake, and the stream rejects the second
	// event within its duplicate window, which costs each event a header. It is not needed
	// when EntityID is empty.
	SameEntity bool
	// Cause is when that happened which the command is a reaction to; zero for one that somebody
	// sent. A decision never looks earlier than its cause: each service has its own idea of the
	// time, and they differ by as long as messages travel. See maxAhead.
	Cause time.Time
	// Idempotent promises that the decision itself records nothing when the command was recorded
	// before, by the state alone. Then an id that has left the entity's window is not looked up,
	// and the receipt is that of a command with nothing left to do.
	Idempotent bool
}

// maxAhead is by how much the clock of a cause may be ahead of the one here for a decision to take
// the cause's time. Clocks that differ more are wrong, and must not set those of others.
const maxAhead = time.Second

// now returns the time of a decision on a command.
func (c Command) now(clock time.Time) time.Time {
	now := clock.UTC().Truncate(time.Microsecond)
	if ahead := c.Cause.Sub(now); !c.Cause.IsZero() && ahead >= 0 && ahead < maxAhead {
		return c.Cause.UTC().Truncate(time.Microsecond).Add(time.Microsecond)
	}
	return now
}

// Meta is what a decision may depend on besides the state and the command.
type Meta struct {
	EntityID  string         // the entity's id, also if it is new
	CommandID string         // the id of the command
	Actor     eventlog.Actor // on whose behalf the command was sent
	Now       time.Time      // when the decision began, in UTC and whole microseconds
}

// Decide is a decision. It returns the event to record, or nil if the command has nothing
// left to do, or an error that rejects the command, usually one of package errs. It must be
// pure, since it may be called several times for one command, with different states.
type Decide[S any] func(S, Meta) (eventlog.Event, error)

// Receipt is the result of a command that was not rejected.
type Receipt struct {
	EntityID string
	Stream   string
	Sequence uint64          // of the event; if there was nothing to do, of the entity's last event
	Record   eventlog.Record // the event; its Event is nil if there was nothing to do
	Replayed bool            // the event was recorded by an earlier delivery of the same command
	Reply    any             // what the reply function returned; nil without one
}

// Config configures a Decider. The zero Config works, but its events have no source.
type Config struct {
	Source    string           // Envelope.Source of the events, "lonja/orders"
	Clock     func() time.Time // nil means time.Now
	CacheSize int              // number of entities that are kept in memory at most; 0 means 10,000
	// CacheBytes is how many bytes these entities take at most, roughly; 0 means 32 MiB. One
	// entity is kept whatever it takes.
	CacheBytes int
	// CommandWindow is how many of an entity's newest commands are in memory; 0 means 4,096. Who
	// answers for older ones may lag by as many events; see RememberIn.
	CommandWindow int
	Snapshots     *Snapshots // where snapshots are kept; nil keeps none
	// Logger tells when a decision has to wait because the entity is read from the log; nil
	// discards. See ErrReading.
	Logger *slog.Logger
}

// Decider decides on all entities of one type. It is safe for concurrent use. Decisions on
// one entity wait for each other; those on different entities do not.
type Decider[S any] struct {
	entityType EntityType[S]
	log        *eventlog.Log
	config     Config
	commands   CommandTable // nil for none
	mu         sync.Mutex
	cache      *lru.Cache[string, *entity[S]]
	bytes      int // that the entities in the cache take
}

// Filter returns the subject filter that matches all events of the entity with an id.
// Every append to the entity is conditional on the last message that it matches. On a partition the
// filter has another second token; see streams.SubjectOn.
func (t EntityType[S]) Filter(id string) string { return t.placeOf(id).filter }

// New returns a decider, which must be bound before it is used. It panics if t lacks
// Subject, Stream or a function to evolve, or has both Evolve and EvolveRecord.
func New[S any](t EntityType[S]) *Decider[S] {
	if t.Subject == "" || t.Stream == "" || (t.Evolve == nil) == (t.EvolveRecord == nil) {
		panic("decider: an EntityType needs Subject, Stream and one of Evolve and EvolveRecord")
	}
	if t.EvolveRecord == nil {
		t.EvolveRecord = func(s S, r eventlog.Record) S { return t.Evolve(s, r.Event, r.Time) }
	}
	return &Decider[S]{entityType: t}
}

// Home returns the stream that records the events of an entity: Stream, or one of its partitions. The
// error is errs.Unavailable if the log did not answer.
func (d *Decider[S]) Home(ctx context.Context, id string) (stream string, err error) {
	at, err := d.locate(ctx, id)
	if err != nil {
		return "", unavailable(err)
	}
	return at.stream, nil
}

// Stream returns the stream that records the events, or whose partitions do.
func (d *Decider[S]) Stream() string { return d.entityType.Stream }

// Bind connects the decider to its log. Only the first call has an effect, so every user of
// a shared decider may bind it to the same log; another log is ignored. It panics if
// Config.CacheSize or Config.CommandWindow is negative.
func (d *Decider[S]) Bind(log *eventlog.Log, config Config) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.log != nil {
		return
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.CacheSize = cmp.Or(config.CacheSize, 10_000)
	config.CacheBytes = cmp.Or(config.CacheBytes, 32<<20)
	config.CommandWindow = cmp.Or(config.CommandWindow, 4096)
	if config.CommandWindow < 0 {
		panic("decider: Config.CommandWindow is negative")
	}
	cache, err := lru.NewWithEvict(config.CacheSize, d.onEvict)
	if err != nil {
		panic(err) // the size is negative
	}
	d.log, d.config, d.cache = log, config, cache
	if config.Snapshots != nil && d.entityType.Snapshot != nil {
		config.Snapshots.register(d.saveAll)
	}
}

// Permissions returns what the decider requires on NATS: to append its events and to read
// its stream.
func (d *Decider[S]) Permissions() natsauth.Permissions {
	p := natsauth.AllowRead(d.entityType.Stream)
	p.Add(natsauth.AllowPublish(d.entityType.Subject + ".*.*"))
	if f := d.entityType.Former; f != nil {
		p.Add(natsauth.AllowRead(f.Stream), natsauth.AllowPublish(f.Subject+".*.*"))
	}
	return p
}

// EntityID returns the id of the entity that a command is decided on, also if it is new. The id of a
// new one may be another if there is a Former.
func (d *Decider[S]) EntityID(c Command) string {
	if c.EntityID != "" {
		return c.EntityID
	}
	return eventlog.NewEntityID(d.entityType.Prefix, c.ID)
}

// Decide decides on a command and records the resulting event. A command that was recorded
// before, by this process or another, is not decided again: the receipt is that of the
// earlier event, with Replayed true.
//
// Reply makes Receipt.Reply of the state after the event and of the event, which is nil if
// there was nothing to do. It may be nil, and must not keep the state.
//
// The errors are:
//   - that of decide, if it rejects the command on the entity's newest state.
//   - errs.Invalid, if no subject can hold the entity's id.
//   - IDReused, if the command's ID was used for another command.
//   - errs.NotFound, if the command was recorded before, there is a reply, and the entity was
//     erased since.
//   - errs.Unavailable, if the log did not answer in time, if only a newer program knows one
//     of the entity's events, or if the key of one cannot be had now. The command may be
//     recorded or not; a second call with the same ID finds out. It is ErrReading, too, if ctx
//     ends while the entity is read.
//   - that of eventlog.Log.Append, which never is ErrConflict, ErrDuplicate or
//     ErrOutcomeUnknown: those are resolved. It is ErrKeyDestroyed only if the decision still
//     wants to seal something, although it knows all that was recorded.
//   - that of ctx, if it ends while other decisions on the entity are made. Nothing was
//     recorded.
func (d *Decider[S]) Decide(ctx context.Context, c Command, decide Decide[S], reply func(S, eventlog.Event) any) (Receipt, error) {
	id, err := d.idFor(ctx, c)
	if err != nil {
		return Receipt{}, err
	}
	var older olderCommand
	for range maxLookups {
		receipt, err := d.decideOnce(ctx, id, c, older, decide, reply)
		var ask *askOlder
		if !errors.As(err, &ask) {
			return receipt, err
		}
		if older, err = ask.find(ctx, id, c.ID); err != nil {
			return Receipt{}, err
		}
	}
	return Receipt{}, errs.New(errs.Unavailable, "%s changes faster than its older commands can be looked up; try again with the same id", id)
}

// decideOnce is Decide with what was looked up about the command. The error is askOlder if more
// must be.
func (d *Decider[S]) decideOnce(ctx context.Context, id string, c Command, older olderCommand, decide Decide[S], reply func(S, eventlog.Event) any) (Receipt, error) {
	e, release, err := d.acquire(ctx, id)
	if err != nil {
		return Receipt{}, err
	}
	// An entity that is not in the cache is assumed to be new. If it is not, the
	// conditional append fails and its events are loaded; before an error is returned, they
	// are always loaded.
	a := attempt[S]{d: d, e: e, command: c, decide: decide, reply: reply, older: older,
		meta: Meta{EntityID: id, CommandID: c.ID, Actor: c.Actor, Now: c.now(d.config.Clock())}}
	receipt, through, err := a.runAndRelease(ctx, release)
	if errors.Is(err, ErrReading) {
		return Receipt{}, err // it tells nothing of what was recorded
	}
	// Others may decide meanwhile, on events that are not synced: what they record comes later in
	// the same stream, so it is lost with them or not at all.
	if syncErr := d.log.AwaitSync(ctx, e.stream, through); syncErr != nil {
		return Receipt{}, unavailable(syncErr)
	}
	return receipt, err
}

// runAndRelease runs an attempt and releases its entity. Through is the sequence of the entity's
// last event that the decision rests on, or recorded.
func (a *attempt[S]) runAndRelease(ctx context.Context, release func()) (r Receipt, through uint64, err error) {
	defer release()
	e := a.e // a replay goes on with another one
	r, err = a.run(ctx)
	return r, e.sequence, err
}

// End returns the sequence of the last message on the stream of the entities, which must have no
// partitions; 0 if there never was one. What Peek reads afterwards includes all events of its entity up to there. The error is that
// of Peek.
func (d *Decider[S]) End(ctx context.Context) (uint64, error) {
	end, err := d.log.End(ctx, d.entityType.Stream)
	if err != nil {
		return 0, unavailable(err)
	}
	return end, nil
}

// Peek calls read with the state of an entity after its newest event, or with the initial
// state if it has none. Read must not keep the state. The error is errs.Unavailable if the
// log did not answer or holds events of the entity that only a newer program knows or that
// cannot be opened now, errs.Unavailable and ErrReading if ctx ends while the entity is read, and that of
// ctx if it ends before; read is not called then.
func (d *Decider[S]) Peek(ctx context.Context, id string, read func(S)) error {
	e, release, err := d.acquire(ctx, id)
	if err != nil {
		return err
	}
	through, err := d.peek(ctx, e, release, read)
	if err == nil {
		err = d.log.AwaitSync(ctx, e.stream, through)
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}

func (d *Decider[S]) peek(ctx context.Context, e *entity[S], release func(), read func(S)) (through uint64, err error) {
	defer release()
	if _, err := d.catchUp(ctx, e); err != nil {
		return 0, err
	}
	read(e.state)
	return e.sequence, nil
}

// History calls read with every event of an entity, oldest first, as the log holds them now:
// nothing is taken from memory or kept there. The error is that of Peek; read was then called
// for a part of the events.
func (d *Decider[S]) History(ctx context.Context, id string, read func(eventlog.Record)) error {
	at, err := d.locate(ctx, id)
	if err != nil {
		return unavailable(err)
	}
	last, err := d.log.Last(ctx, at.stream, at.filter)
	if err == nil {
		err = d.walk(ctx, at, 0, last, func(r eventlog.Record) {
			if r.Event != nil {
				read(r)
			}
		})
	}
	if err != nil {
		return unavailable(err)
	}
	return nil
}

// At returns an event of an entity. The error is errs.Unavailable if the log did not
// answer, or if the event cannot be read here or now, as for Peek.
func (d *Decider[S]) At(ctx context.Context, id string, sequence uint64) (eventlog.Record, error) {
	stream, err := d.Home(ctx, id)
	if err != nil {
		return eventlog.Record{}, err
	}
	r, err := d.log.At(ctx, stream, sequence)
	if err == nil {
		err = cannotFold(r)
	}
	if err != nil {
		return eventlog.Record{}, unavailable(err)
	}
	return r, nil
}
