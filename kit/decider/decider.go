package decider

import (
	"context"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

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
	// New returns the state before the first event; nil means the zero S.
	New func() S
	// Evolve returns the state after an event, which happened at the given time. It decides
	// nothing and cannot fail. It may reuse the state that it is given.
	Evolve func(s S, event eventlog.Event, at time.Time) S
	// EvolveRecord is Evolve for a state that also depends on the event's position in the
	// log or on its envelope.
	EvolveRecord func(s S, event eventlog.Record) S
}

// Command identifies what is to be decided: a command, or a reaction to an event. The
// payload is not part of it; the Decide function knows that.
type Command struct {
	// Envelope is the command's. Its ID makes the command take effect once; its RequestHash
	// distinguishes two commands with the same ID.
	eventlog.Envelope
	EntityID string // the entity to decide on; empty for a new one, whose id is derived from ID
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
	Sequence uint64 // of the event; if there was nothing to do, of the entity's last event
	Replayed bool   // the event was recorded by an earlier delivery of the same command
	Reply    any    // what the reply function returned; nil without one
}

// Config configures a Decider. The zero Config works, but its events have no source.
type Config struct {
	Source    string           // Envelope.Source of the events, "lonja/orders"
	Clock     func() time.Time // nil means time.Now
	CacheSize int              // number of entities that are kept in memory; 0 means 10,000
}

// Decider decides on all entities of one type. It is safe for concurrent use. Decisions on
// one entity wait for each other; those on different entities do not.
type Decider[S any] struct {
	entityType EntityType[S]
	log        *eventlog.Log
	config     Config
	mu         sync.Mutex
	cache      *lru.Cache[string, *entity[S]]
}

// Filter returns the subject filter that matches all events of the entity with an id.
// Every append to the entity is conditional on the last message that it matches.
func (t EntityType[S]) Filter(id string) string { return t.Subject + "." + id + ".>" }

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

// Bind connects the decider to its log. Only the first call has an effect, so every user of
// a shared decider may bind it to the same log; another log is ignored. It panics if Config.CacheSize is negative.
func (d *Decider[S]) Bind(log *eventlog.Log, config Config) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.log != nil {
		return
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.CacheSize == 0 {
		config.CacheSize = 10_000
	}
	cache, err := lru.New[string, *entity[S]](config.CacheSize)
	if err != nil {
		panic(err) // the size is negative
	}
	d.log, d.config, d.cache = log, config, cache
}

// Permissions returns what the decider requires on NATS: to append its events and to read
// its stream.
func (d *Decider[S]) Permissions() natsauth.Permissions {
	p := natsauth.AllowRead(d.entityType.Stream)
	p.Add(natsauth.AllowPublish(d.entityType.Subject + ".*.*"))
	return p
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
//   - errs.Unavailable, if the log did not answer in time, or if only a newer program knows
//     one of the entity's events. The command may be recorded or not; a second call with the
//     same ID finds out.
//   - that of eventlog.Log.Append, which never is ErrConflict, ErrDuplicate or
//     ErrOutcomeUnknown: those are resolved.
//   - that of ctx, if it ends while other decisions on the entity are made. Nothing was
//     recorded.
func (d *Decider[S]) Decide(ctx context.Context, c Command, decide Decide[S], reply func(S, eventlog.Event) any) (Receipt, error) {
	id := c.EntityID
	if id == "" {
		id = eventlog.NewEntityID(d.entityType.Prefix, c.ID)
	}
	if err := eventlog.CheckEntityID("entity id", id); err != nil {
		return Receipt{}, err
	}
	e, release, err := d.acquire(ctx, id)
	if err != nil {
		return Receipt{}, err
	}
	defer release()
	// An entity that is not in the cache is assumed to be new. If it is not, the
	// conditional append fails and its events are loaded; before an error is returned, they
	// are always loaded.
	a := attempt[S]{d: d, e: e, command: c, decide: decide, reply: reply,
		meta: Meta{EntityID: id, CommandID: c.ID, Actor: c.Actor, Now: d.config.Clock().UTC().Truncate(time.Microsecond)}}
	return a.run(ctx)
}

// Peek calls read with the state of an entity after its newest event, or with the initial
// state if it has none. Read must not keep the state. The error is errs.Unavailable if the
// log did not answer or holds events of the entity that only a newer program knows, and
// that of ctx if it ends before; read is not called then.
func (d *Decider[S]) Peek(ctx context.Context, id string, read func(S)) error {
	e, release, err := d.acquire(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if _, err := d.catchUp(ctx, e); err != nil {
		return unavailable(err)
	}
	read(e.state)
	return nil
}
