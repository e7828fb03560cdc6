// Package decider turns commands into events, each exactly once.
//
// An entity's state is folded from its events and kept in the process together
// with the sequence that it stands at. A decision is made on that state and
// appended on the condition that the entity has not moved since. Whoever loses
// the race loads what is new and decides again; whoever finds its own command
// already recorded answers with what was recorded. So neither a second
// delivery, nor a second replica, nor a lost answer makes a second event.
package decider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// EntityType describes a kind of entity.
type EntityType[S any] struct {
	// Subject is what the subjects of its events begin with, such as
	// "events.order"; the entity's id and the event's name follow.
	Subject string
	Stream  string // that records its events
	Prefix  string // of the ids of new ones: "ord_"; empty when ids are given
	// ReplyFromEvents says that replies are made of events alone and never look at the
	// state, so that a command that comes again need not have the state of that time
	// folded anew. It is meant for entities with very many events.
	ReplyFromEvents bool
	// New is the state before the first event; nil means the zero S.
	New func() S
	// Evolve is the state after an event that happened at a time. It cannot fail
	// and decides nothing. It may reuse the state that it is given.
	Evolve func(s S, event eventlog.Event, at time.Time) S
	// EvolveRecord is Evolve for a state that depends on where in the log its events
	// stand, too. A kind has one of the two.
	EvolveRecord func(s S, event eventlog.Record) S
}

// Command is what a decision is asked for: a command, or a reaction to an event.
type Command struct {
	eventlog.Envelope        // of the command; its ID makes it happen once
	EntityID          string // whom it is about; empty for a new entity
}

// Meta is what a decision may know besides state and command.
type Meta struct {
	EntityID string
	ID       string // the command's
	Actor    eventlog.Actor
	Now      time.Time
}

// Decide is a decision: the event that follows, nil when the command is already
// fulfilled, or a refusal. It must be pure; it may be called several times.
type Decide[S any] func(S, Meta) (eventlog.Event, error)

// Receipt tells what became of a command.
type Receipt struct {
	EntityID string
	Stream   string
	Sequence uint64 // of the event, or of the entity when nothing needed to happen
	Replayed bool   // the event had been recorded before, by the same command
	Reply    any    // what the reply function made of it
}

// Config configures a Decider. The zero Config works.
type Config struct {
	Source string           // for ce-source
	Clock  func() time.Time // nil means time.Now
	Cached int              // how many entities are kept in memory; 0 means 10,000
}

// Decider decides for all entities of one kind. It is safe for concurrent use.
type Decider[S any] struct {
	entityType EntityType[S]
	log        *eventlog.Log
	config     Config
	mu         sync.Mutex
	cache      *lru.Cache[string, *entity[S]]
}

// Filter matches all events of the entity with an id. Every append to an entity is
// conditional on the last message that it matches.
func (t EntityType[S]) Filter(id string) string { return t.Subject + "." + id + ".>" }

// New makes a decider. Bind it before use. It panics when the type
// lacks a subject, a stream or a way to evolve.
func New[S any](t EntityType[S]) *Decider[S] {
	if t.Subject == "" || t.Stream == "" || (t.Evolve == nil) == (t.EvolveRecord == nil) {
		panic("decider: an EntityType needs Subject, Stream and one of Evolve and EvolveRecord")
	}
	if t.EvolveRecord == nil {
		t.EvolveRecord = func(s S, r eventlog.Record) S { return t.Evolve(s, r.Event, r.Time) }
	}
	return &Decider[S]{entityType: t}
}

// Bind connects the decider to its log. Further calls change nothing, so
// everything that uses one decider may bind it.
func (d *Decider[S]) Bind(log *eventlog.Log, config Config) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.log != nil {
		return
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Cached == 0 {
		config.Cached = 10_000
	}
	cache, err := lru.New[string, *entity[S]](config.Cached)
	if err != nil {
		panic(err) // only a size below one
	}
	d.log, d.config, d.cache = log, config, cache
}

// Permissions is what the decider's events take: to append them and load them back.
func (d *Decider[S]) Permissions() natsauth.Permissions {
	g := natsauth.AllowRead(d.entityType.Stream)
	g.Add(natsauth.AllowPublish(d.entityType.Subject + ".*.*"))
	return g
}

// entity is one entity as far as this process has seen its events.
type entity[S any] struct {
	lock     chan struct{} // holds a token while nobody decides; so waiting ends with the context
	filter   string
	state    S
	sequence uint64
	commands map[commandKey]uint64 // which command was recorded where
}

type commandKey [16]byte

func keyOf(id string) (k commandKey) {
	copy(k[:], eventlog.CompactID(id))
	return k
}

// Decide makes one decision. Reply, which may be nil, makes the answer out of
// the state after the event and the event itself (nil when the command was already
// fulfilled without one); it must not keep the state.
//
// Errors are the decision's own refusals; Invalid when the entity's id cannot stand in
// a subject, where it might name other entities, too; and Unavailable when the log did
// not answer in time: then the command may have been recorded or not, and asking again
// with the same id tells.
func (d *Decider[S]) Decide(ctx context.Context, w Command, decide Decide[S], reply func(S, eventlog.Event) any) (Receipt, error) {
	id := w.EntityID
	if id == "" {
		id = eventlog.NewEntityID(d.entityType.Prefix, w.ID)
	}
	if err := eventlog.CheckEntityID("entity id", id); err != nil {
		return Receipt{}, err
	}
	e, done, err := d.acquire(ctx, id)
	if err != nil {
		return Receipt{}, err
	}
	defer done()
	// An entity that this process has not seen is taken for a new one. If it is
	// not, the append or, before a refusal, a look at the log will tell.
	a := attempt[S]{d: d, e: e, w: w, decide: decide, reply: reply,
		meta: Meta{EntityID: id, ID: w.ID, Actor: w.Actor, Now: d.config.Clock().UTC().Truncate(time.Microsecond)}}
	return a.run(ctx)
}

// Peek calls see with an entity's state as it is now. See must not keep it.
// Errors are as Decide's.
func (d *Decider[S]) Peek(ctx context.Context, id string, see func(S)) error {
	e, done, err := d.acquire(ctx, id)
	if err != nil {
		return err
	}
	defer done()
	if _, err := d.catchUp(ctx, e); err != nil {
		return unavailable(err)
	}
	see(e.state)
	return nil
}

// acquire waits for an entity's turn; done ends it.
func (d *Decider[S]) acquire(ctx context.Context, id string) (e *entity[S], done func(), err error) {
	e = d.entity(id)
	select {
	case <-e.lock:
		return e, func() { e.lock <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
}

func (d *Decider[S]) entity(id string) *entity[S] {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, ok := d.cache.Get(id); ok {
		return e
	}
	e := &entity[S]{
		lock:     make(chan struct{}, 1),
		filter:   d.entityType.Filter(id),
		commands: make(map[commandKey]uint64, 1),
		state:    d.initial(),
	}
	e.lock <- struct{}{}
	d.cache.Add(id, e)
	return e
}

func (d *Decider[S]) initial() (s S) {
	if d.entityType.New != nil {
		return d.entityType.New()
	}
	return s
}

// catchUp folds what was recorded since; grew tells whether anything was.
func (d *Decider[S]) catchUp(ctx context.Context, e *entity[S]) (grew bool, err error) {
	last, err := d.log.Last(ctx, d.entityType.Stream, e.filter)
	if err != nil {
		return false, err
	}
	if last <= e.sequence {
		return false, d.log.UpToDate(ctx, d.entityType.Stream)
	}
	return true, d.load(ctx, e, last)
}

// load folds what was recorded since, through a sequence. It is an Unavailable
// refusal when that holds an event that only a newer program knows: the entity is then
// folded up to there, and nothing can be decided on it here.
func (d *Decider[S]) load(ctx context.Context, e *entity[S], through uint64) error {
	var newer error
	err := d.log.Load(ctx, d.entityType.Stream, e.filter, e.sequence, through, func(r eventlog.Record) {
		if r.Newer && newer == nil {
			newer = errs.New(errs.Unavailable, "%s:%d records %s, which this program does not know; a newer one must decide", r.Stream, r.Sequence, r.Type)
		}
		if newer == nil {
			d.fold(e, r)
		}
	})
	return errors.Join(err, newer)
}

func (d *Decider[S]) fold(e *entity[S], r eventlog.Record) {
	e.sequence = r.Sequence
	if r.Event == nil {
		return // no event; the views report it
	}
	e.state = d.entityType.EvolveRecord(e.state, r)
	e.commands[keyOf(r.Causation)] = r.Sequence
}

// attempt is one command on its way.
type attempt[S any] struct {
	d      *Decider[S]
	e      *entity[S]
	w      Command
	decide Decide[S]
	reply  func(S, eventlog.Event) any
	meta   Meta
}

func (a *attempt[S]) run(ctx context.Context) (Receipt, error) {
	for certain := false; ; {
		if seq, done := a.e.commands[keyOf(a.w.ID)]; done {
			return a.replay(ctx, seq)
		}
		event, err := a.decide(a.e.state, a.meta)
		if err != nil || event == nil {
			// An append proves that the state was fresh. A refusal or a command
			// fulfilled does not, so look first.
			if !certain {
				grew, lookErr := a.d.catchUp(ctx, a.e)
				if lookErr != nil {
					return Receipt{}, unavailable(lookErr)
				}
				if certain = true; grew {
					continue
				}
			}
			if err != nil {
				return Receipt{}, err
			}
			return a.receipt(a.e.sequence, nil, false), nil
		}
		recorded, err := a.append(ctx, event)
		switch {
		case err == nil:
			a.d.fold(a.e, recorded)
			return a.receipt(recorded.Sequence, event, false), nil
		case errors.Is(err, eventlog.ErrConflict), errors.Is(err, eventlog.ErrOutcomeUnknown), errors.Is(err, eventlog.ErrDuplicate):
			// Another was faster, or nobody knows: what is there now decides.
			if _, err := a.d.catchUp(ctx, a.e); err != nil {
				return Receipt{}, unavailable(err)
			}
			if _, here := a.e.commands[keyOf(a.w.ID)]; !here && errors.Is(err, eventlog.ErrDuplicate) {
				return Receipt{}, IDReused() // for another entity
			}
			certain = true
		default:
			return Receipt{}, err
		}
		if ctx.Err() != nil {
			return Receipt{}, unavailable(ctx.Err())
		}
	}
}

func (a *attempt[S]) append(ctx context.Context, event eventlog.Event) (eventlog.Record, error) {
	env := eventlog.Envelope{
		ID:          eventlog.DeriveID("fact", a.w.ID),
		Source:      a.d.config.Source,
		Time:        a.meta.Now,
		Causation:   a.w.ID,
		Correlation: a.w.Correlation,
		Actor:       eventlog.Actor{ID: a.w.Actor.ID},
		RequestHash: a.w.RequestHash,
		Trace:       a.w.Trace,
	}
	if env.Correlation == "" {
		env.Correlation = a.w.ID
	}
	return a.d.log.Append(ctx, a.d.entityType.Stream, a.e.filter, a.e.sequence, env, event)
}

// replay answers with what the same command recorded before.
func (a *attempt[S]) replay(ctx context.Context, seq uint64) (Receipt, error) {
	was, err := a.d.log.At(ctx, a.d.entityType.Stream, seq)
	if err != nil {
		return Receipt{}, unavailable(err)
	}
	if was.RequestHash != a.w.RequestHash {
		return Receipt{}, IDReused()
	}
	if seq == a.e.sequence || a.reply == nil || a.d.entityType.ReplyFromEvents {
		return a.receipt(seq, was.Event, true), nil
	}
	then := &entity[S]{filter: a.e.filter, state: a.d.initial(), commands: map[commandKey]uint64{}}
	if err = a.d.load(ctx, then, seq); err != nil {
		return Receipt{}, unavailable(err)
	}
	a.e = then
	return a.receipt(seq, was.Event, true), nil
}

func (a *attempt[S]) receipt(seq uint64, event eventlog.Event, replayed bool) Receipt {
	r := Receipt{EntityID: a.meta.EntityID, Stream: a.d.entityType.Stream, Sequence: seq, Replayed: replayed}
	if a.reply != nil {
		r.Reply = a.reply(a.e.state, event)
	}
	return r
}

// unavailable is what an unanswered question to the log is to whoever waits.
func unavailable(err error) error {
	if _, ok := errs.As(err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", errs.New(errs.Unavailable, "the log did not answer; try again with the same id"), err)
}

// IDReused is the refusal of a command whose id was used for another one.
func IDReused() error {
	return errs.InvalidField("Idempotency-Key", "was used before with another request; use a new one")
}
