// Package decider turns wishes into facts, each exactly once.
//
// An entity's state is folded from its facts and kept in the process together
// with the sequence that it stands at. A decision is made on that state and
// appended on the condition that the entity has not moved since. Whoever loses
// the race loads what is new and decides again; whoever finds its own command
// already recorded answers with what was recorded. So neither a second
// delivery, nor a second replica, nor a lost answer makes a second fact.
package decider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"lonja/internal/access"
	"lonja/internal/envelope"
	"lonja/internal/eventlog"
	"lonja/internal/refusal"
)

// Kind describes a kind of entity.
type Kind[S any] struct {
	Name   string // in subjects: "order"
	Stream string // where its facts are
	Prefix string // of the ids of new ones: "ord_"; empty when ids are given
	// FactsAnswer says that replies are made of facts alone and never look at the
	// state, so that a wish that comes again need not have the state of that time
	// folded anew. It is meant for entities with very many facts.
	FactsAnswer bool
	// New is the state before the first fact; nil means the zero S.
	New func() S
	// Evolve is the state after a fact that happened at a time. It cannot fail
	// and decides nothing. It may reuse the state that it is given.
	Evolve func(s S, fact eventlog.Event, at time.Time) S
	// EvolveAt is Evolve for a state that depends on where in the log its facts
	// stand, too. A kind has one of the two.
	EvolveAt func(s S, fact eventlog.Recorded) S
}

// Wish is what a decision is asked for: a command, or a reaction to a fact.
type Wish struct {
	envelope.Envelope        // of the wish; its ID makes it happen once
	EntityID          string // whom it is about; empty for a new entity
}

// Meta is what a decision may know besides state and wish.
type Meta struct {
	EntityID string
	ID       string // the wish's
	Actor    envelope.Actor
	Now      time.Time
}

// Decide is a decision: the fact that follows, nil when the wish is already
// fulfilled, or a refusal. It must be pure; it may be called several times.
type Decide[S any] func(S, Meta) (eventlog.Event, error)

// Receipt tells what became of a wish.
type Receipt struct {
	EntityID string
	Stream   string
	Sequence uint64 // of the fact, or of the entity when nothing needed to happen
	Replayed bool   // the fact had been recorded before, by the same wish
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
	kind   Kind[S]
	log    *eventlog.Log
	config Config
	mu     sync.Mutex
	cache  *lru.Cache[string, *entity[S]]
}

// New makes a decider. Bind it before use. It panics when the kind lacks a
// name, a stream or a way to evolve.
func New[S any](kind Kind[S]) *Decider[S] {
	if kind.Name == "" || kind.Stream == "" || (kind.Evolve == nil) == (kind.EvolveAt == nil) {
		panic("decider: a kind needs Name, Stream and one of Evolve and EvolveAt")
	}
	if kind.EvolveAt == nil {
		kind.EvolveAt = func(s S, r eventlog.Recorded) S { return kind.Evolve(s, r.Event, r.Time) }
	}
	return &Decider[S]{kind: kind}
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

// Access is what the decider's facts take: to append them and load them back.
func (d *Decider[S]) Access() access.Grant {
	g := access.Read(d.kind.Stream)
	g.And(access.Publish("events." + d.kind.Name + ".*.*"))
	return g
}

// entity is one entity as far as this process has seen its facts.
type entity[S any] struct {
	turn     chan struct{} // holds a token while nobody decides; so waiting ends with the context
	filter   string
	state    S
	sequence uint64
	wishes   map[wishKey]uint64 // which wish was recorded where
}

type wishKey [16]byte

func keyOf(id string) (k wishKey) {
	copy(k[:], envelope.KeyOf(id))
	return k
}

// Decide makes one decision. Reply, which may be nil, makes the answer out of
// the state after the fact and the fact itself (nil when the wish was already
// fulfilled without one); it must not keep the state.
//
// Errors are the decision's own refusals, and Unavailable when the log did not
// answer in time: then the wish may have been recorded or not, and asking again
// with the same id tells.
func (d *Decider[S]) Decide(ctx context.Context, w Wish, decide Decide[S], reply func(S, eventlog.Event) any) (Receipt, error) {
	id := w.EntityID
	if id == "" {
		id = envelope.EntityID(d.kind.Prefix, w.ID)
	}
	e, done, err := d.take(ctx, id)
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

// Look calls see with an entity's state as it is now. See must not keep it.
// Errors are as Decide's.
func (d *Decider[S]) Look(ctx context.Context, id string, see func(S)) error {
	e, done, err := d.take(ctx, id)
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

// take waits for an entity's turn; done ends it.
func (d *Decider[S]) take(ctx context.Context, id string) (e *entity[S], done func(), err error) {
	e = d.entity(id)
	select {
	case <-e.turn:
		return e, func() { e.turn <- struct{}{} }, nil
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
		turn:   make(chan struct{}, 1),
		filter: "events." + d.kind.Name + "." + id + ".>",
		wishes: make(map[wishKey]uint64, 1),
		state:  d.initial(),
	}
	e.turn <- struct{}{}
	d.cache.Add(id, e)
	return e
}

func (d *Decider[S]) initial() (s S) {
	if d.kind.New != nil {
		return d.kind.New()
	}
	return s
}

// catchUp folds what was recorded since; grew tells whether anything was.
func (d *Decider[S]) catchUp(ctx context.Context, e *entity[S]) (grew bool, err error) {
	last, err := d.log.Last(ctx, d.kind.Stream, e.filter)
	if err != nil {
		return false, err
	}
	if last <= e.sequence {
		return false, d.log.UpToDate(ctx, d.kind.Stream)
	}
	return true, d.load(ctx, e, last)
}

// load folds what was recorded since, through a sequence. It is an Unavailable
// refusal when that holds a fact that only a newer program knows: the entity is then
// folded up to there, and nothing can be decided on it here.
func (d *Decider[S]) load(ctx context.Context, e *entity[S], through uint64) error {
	var newer error
	err := d.log.Load(ctx, d.kind.Stream, e.filter, e.sequence, through, func(r eventlog.Recorded) {
		if r.Newer && newer == nil {
			newer = refusal.New(refusal.Unavailable, "%s:%d records %s, which this program does not know; a newer one must decide", r.Stream, r.Sequence, r.Type)
		}
		if newer == nil {
			d.fold(e, r)
		}
	})
	return errors.Join(err, newer)
}

func (d *Decider[S]) fold(e *entity[S], r eventlog.Recorded) {
	e.sequence = r.Sequence
	if r.Event == nil {
		return // no fact; the views report it
	}
	e.state = d.kind.EvolveAt(e.state, r)
	e.wishes[keyOf(r.Causation)] = r.Sequence
}

// attempt is one wish on its way.
type attempt[S any] struct {
	d      *Decider[S]
	e      *entity[S]
	w      Wish
	decide Decide[S]
	reply  func(S, eventlog.Event) any
	meta   Meta
}

func (a *attempt[S]) run(ctx context.Context) (Receipt, error) {
	for certain := false; ; {
		if seq, done := a.e.wishes[keyOf(a.w.ID)]; done {
			return a.replay(ctx, seq)
		}
		event, err := a.decide(a.e.state, a.meta)
		if err != nil || event == nil {
			// An append proves that the state was fresh. A refusal or a wish
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
		case errors.Is(err, eventlog.ErrConflict), errors.Is(err, eventlog.ErrUnknown), errors.Is(err, eventlog.ErrRecorded):
			// Another was faster, or nobody knows: what is there now decides.
			if _, err := a.d.catchUp(ctx, a.e); err != nil {
				return Receipt{}, unavailable(err)
			}
			if _, here := a.e.wishes[keyOf(a.w.ID)]; !here && errors.Is(err, eventlog.ErrRecorded) {
				return Receipt{}, UsedBefore() // for another entity
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

func (a *attempt[S]) append(ctx context.Context, event eventlog.Event) (eventlog.Recorded, error) {
	env := envelope.Envelope{
		ID:          envelope.Derive("fact", a.w.ID),
		Source:      a.d.config.Source,
		Time:        a.meta.Now,
		Causation:   a.w.ID,
		Correlation: a.w.Correlation,
		Actor:       envelope.Actor{ID: a.w.Actor.ID},
		RequestHash: a.w.RequestHash,
		Trace:       a.w.Trace,
	}
	if env.Correlation == "" {
		env.Correlation = a.w.ID
	}
	return a.d.log.Append(ctx, a.d.kind.Stream, a.e.filter, a.e.sequence, env, event)
}

// replay answers with what the same wish recorded before.
func (a *attempt[S]) replay(ctx context.Context, seq uint64) (Receipt, error) {
	was, err := a.d.log.At(ctx, a.d.kind.Stream, seq)
	if err != nil {
		return Receipt{}, unavailable(err)
	}
	if was.RequestHash != a.w.RequestHash {
		return Receipt{}, UsedBefore()
	}
	if seq == a.e.sequence || a.reply == nil || a.d.kind.FactsAnswer {
		return a.receipt(seq, was.Event, true), nil
	}
	then := &entity[S]{filter: a.e.filter, state: a.d.initial(), wishes: map[wishKey]uint64{}}
	if err = a.d.load(ctx, then, seq); err != nil {
		return Receipt{}, unavailable(err)
	}
	a.e = then
	return a.receipt(seq, was.Event, true), nil
}

func (a *attempt[S]) receipt(seq uint64, event eventlog.Event, replayed bool) Receipt {
	r := Receipt{EntityID: a.meta.EntityID, Stream: a.d.kind.Stream, Sequence: seq, Replayed: replayed}
	if a.reply != nil {
		r.Reply = a.reply(a.e.state, event)
	}
	return r
}

// unavailable is what an unanswered question to the log is to whoever waits.
func unavailable(err error) error {
	if _, ok := refusal.As(err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", refusal.New(refusal.Unavailable, "the log did not answer; try again with the same id"), err)
}

// UsedBefore is the refusal of a wish whose id was used for another one.
func UsedBefore() error {
	return refusal.Of("Idempotency-Key", "was used before with another request; use a new one")
}
