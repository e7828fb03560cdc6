package service

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"lonja/internal/access"
	"lonja/internal/decider"
	"lonja/internal/envelope"
	"lonja/internal/eventlog"
	"lonja/internal/refusal"
	"lonja/internal/view"
	"lonja/internal/wire"
)

// On declares that a service decides the command C on entities with state S.
func On[S any, C wire.Wish](d *decider.Decider[S], decide func(S, C, decider.Meta) (eventlog.Event, error)) *Handler[S, C] {
	return &Handler[S, C]{decider: d, prepare: func(_ context.Context, c C, _ envelope.Actor) (decider.Decide[S], any, error) {
		c, wrong := normal(c)
		return func(s S, m decider.Meta) (eventlog.Event, error) {
			if wrong != nil {
				return nil, wrong
			}
			return decide(s, c, m)
		}, nil, nil
	}}
}

// normal is a command as it is decided on: what it makes of itself with its
// method Normal, when it has one. What is wrong with it then is left to the
// decision, which comes after the log was asked whether it was made before: the
// same command, sent again, is answered as it was whatever rules came meanwhile.
func normal[C wire.Wish](c C) (C, error) {
	if n, ok := any(c).(interface{ Normal() (C, error) }); ok {
		return n.Normal()
	}
	return c, nil
}

// OnKnowing is On for a decision that needs to know more than the entity's
// state. Know looks that up, in a view of the service's own for instance; what
// it finds is handed to the decision, which stays pure. Know is given the command
// as it was sent, the decision as it is normally.
//
// When what is known is a Fingerprinter, its fingerprint stands for the
// command's body wherever two commands with one id are compared.
func OnKnowing[S any, C wire.Wish, K any](d *decider.Decider[S],
	know func(context.Context, C) (K, error),
	decide func(S, C, K, decider.Meta) (eventlog.Event, error)) *Handler[S, C] {
	return OnKnowingWho(d, func(ctx context.Context, c C, _ envelope.Actor) (K, error) { return know(ctx, c) }, decide)
}

// OnKnowingWho is OnKnowing where what is to be known depends on who sends the
// command, too.
func OnKnowingWho[S any, C wire.Wish, K any](d *decider.Decider[S],
	know func(context.Context, C, envelope.Actor) (K, error),
	decide func(S, C, K, decider.Meta) (eventlog.Event, error)) *Handler[S, C] {
	return &Handler[S, C]{decider: d, prepare: func(ctx context.Context, c C, who envelope.Actor) (decider.Decide[S], any, error) {
		known, err := know(ctx, c, who)
		if err != nil {
			return nil, nil, err
		}
		c, wrong := normal(c)
		return func(s S, m decider.Meta) (eventlog.Event, error) {
			if wrong != nil {
				return nil, wrong
			}
			return decide(s, c, known, m)
		}, known, nil
	}}
}

// Fingerprinter tells two commands apart by something else than their body,
// whose hash is recorded with the fact: a password must not be, not even so.
type Fingerprinter interface{ Fingerprint() string }

// Replier is what is known when the answer is made of it, too. It stands in for
// the function that Replies would be given, on the same terms.
type Replier[S any] interface {
	Reply(S, eventlog.Event) any
}

// Handler is a declared command.
type Handler[S any, C wire.Wish] struct {
	decider *decider.Decider[S]
	prepare func(context.Context, C, envelope.Actor) (decide decider.Decide[S], known any, err error)
	target  func(context.Context, C) (string, error)
	reply   func(S, C, eventlog.Event) any
	after   *view.View
	once    *view.View
	private bool
}

// Replies says what the answer is made of: the state after the fact, which must
// not be kept, and the fact, nil when the wish had been fulfilled before. An
// answer that is an error refuses the wish, although a fact was recorded.
// Without Replies the answer is only a receipt.
func (h *Handler[S, C]) Replies(reply func(S, eventlog.Event) any) *Handler[S, C] {
	return h.RepliesTo(func(s S, _ C, fact eventlog.Event) any { return reply(s, fact) })
}

// RepliesTo is Replies for an answer that depends on the command, too: when
// nothing was recorded, only the command tells which part of the state was meant.
func (h *Handler[S, C]) RepliesTo(reply func(S, C, eventlog.Event) any) *Handler[S, C] {
	h.reply = reply
	return h
}

// To says which entity the command is about when its own EntityID does not.
func (h *Handler[S, C]) To(target func(context.Context, C) (string, error)) *Handler[S, C] {
	h.target = target
	return h
}

// Reading makes the command wait, like a query, until the view has reached the
// sender's consistency token. One that was left for later waits until it has caught
// up: it is mostly taken up by a service that has just started, whose view is behind.
func (h *Handler[S, C]) Reading(v *view.View) *Handler[S, C] {
	h.after = v
	return h
}

// Once makes the service notice when a command's id was used before for another
// entity. It matters where the sender chooses the entity's id; the view must
// remember wishes.
func (h *Handler[S, C]) Once(v *view.View) *Handler[S, C] {
	h.once = v
	return h
}

// ForOperators keeps the command to those who look after the services: nobody else
// is granted to send it.
func (h *Handler[S, C]) ForOperators() *Handler[S, C] {
	h.private = true
	return h
}

func (h *Handler[S, C]) forOperators() bool { return h.private }

func (h *Handler[S, C]) name() string { var c C; return c.Command() }

func (h *Handler[S, C]) access() access.Grant { return h.decider.Access() }

func (h *Handler[S, C]) bind(log *eventlog.Log, config decider.Config) { h.decider.Bind(log, config) }

func (h *Handler[S, C]) handle(ctx context.Context, w decider.Wish, payload []byte) (decider.Receipt, error) {
	c, err := decodeStrictly[C](payload)
	if err != nil {
		return decider.Receipt{}, err
	}
	if err := c.Check(); err != nil {
		return decider.Receipt{}, err
	}
	if h.after != nil {
		if err := h.freshen(ctx, w); err != nil {
			return decider.Receipt{}, err
		}
	}
	if w.EntityID = c.EntityID(); h.target != nil {
		if w.EntityID, err = h.target(ctx, c); err != nil {
			return decider.Receipt{}, err
		}
	}
	if h.once != nil {
		if entity, err := h.once.WishedFor(ctx, w.ID); err != nil {
			return decider.Receipt{}, err
		} else if entity != "" && entity != w.EntityID {
			return decider.Receipt{}, decider.UsedBefore()
		}
	}
	decide, known, err := h.prepare(ctx, c, w.Actor)
	if err != nil {
		return decider.Receipt{}, err
	}
	w.RequestHash = envelope.Hash(payload)
	if f, ok := known.(Fingerprinter); ok {
		w.RequestHash = envelope.Hash([]byte(f.Fingerprint()))
	}
	var reply func(S, eventlog.Event) any
	if h.reply != nil {
		reply = func(s S, fact eventlog.Event) any { return h.reply(s, c, fact) }
	}
	if r, ok := known.(Replier[S]); ok {
		reply = r.Reply
	}
	return h.decider.Decide(ctx, w, decide, reply)
}

func (h *Handler[S, C]) freshen(ctx context.Context, w decider.Wish) error {
	switch {
	case !Left(ctx).IsZero():
		return h.after.CatchUp(ctx)
	case w.After != "":
		return h.after.Await(ctx, view.ParseToken(w.After))
	}
	return nil
}

// When declares what follows from the fact E: a decision on the entity that
// target names, "" for none.
func When[S any, E eventlog.Event](d *decider.Decider[S], target func(E) string,
	decide func(S, E, decider.Meta) (eventlog.Event, error)) Reflex {
	return &when[S, E]{d, target, decide}
}

type when[S any, E eventlog.Event] struct {
	decider *decider.Decider[S]
	target  func(E) string
	decide  func(S, E, decider.Meta) (eventlog.Event, error)
}

func (w *when[S, E]) fact() string { var e E; return e.Fact() }

func (w *when[S, E]) access() access.Grant { return w.decider.Access() }

func (w *when[S, E]) bind(log *eventlog.Log, config decider.Config) { w.decider.Bind(log, config) }

func (w *when[S, E]) handle(ctx context.Context, wish decider.Wish, fact eventlog.Recorded, _ *deps) error {
	e := fact.Event.(E)
	if wish.EntityID = w.target(e); wish.EntityID == "" {
		return nil
	}
	_, err := w.decider.Decide(ctx, wish,
		func(s S, m decider.Meta) (eventlog.Event, error) { return w.decide(s, e, m) }, nil)
	if r, refused := refusal.As(err); refused && r.Code != refusal.Unavailable {
		// A reaction has nobody to refuse: what it may not do it must leave.
		return fmt.Errorf("a reaction was refused: %w", err)
	}
	return err
}

// Remind declares that the fact E is to be delivered once more at a later
// time, to the consumer named due.
func Remind[E eventlog.Event](due string, at func(E) time.Time) Reflex { return &remind[E]{due, at} }

// Answer declares that a service answers the query Q out of a view.
func Answer[Q interface{ Query() string }](v *view.View, answer func(context.Context, Q, envelope.Actor) (any, error)) *Answering[Q] {
	return &Answering[Q]{view: v, fn: answer, patience: patience}
}

// Stopping is closed when the service that answers begins to stop. A query that
// waits for something to happen should then answer with what there is.
func Stopping(ctx context.Context) <-chan struct{} {
	stopping, _ := ctx.Value(stoppingKey{}).(<-chan struct{})
	return stopping
}

type stoppingKey struct{}

// Ask is who asks a query, and how fresh the answer must be.
type Ask struct {
	Actor envelope.Actor
	After string
}

// Answering is a declared query.
type Answering[Q interface{ Query() string }] struct {
	view     *view.View
	stream   string // where the entity is that it is about, "" for about none
	filter   func(Q) string
	fn       func(context.Context, Q, envelope.Actor) (any, error)
	patience time.Duration
}

// Patience is how long the answer may take, when that is not the usual few
// seconds: for queries that wait until something happens.
func (a *Answering[Q]) Patience(d time.Duration) *Answering[Q] {
	a.patience = d
	return a
}

// About says which entity the query is about, and on which stream of the view's its
// facts are. Before its answer is that there is none, the log is asked: what is
// recorded of the entity by then is waited for. So whoever heard of something new
// finds it, at any replica and without a consistency token.
func (a *Answering[Q]) About(stream, entity string, id func(Q) string) *Answering[Q] {
	a.stream, a.filter = stream, func(q Q) string { return "events." + entity + "." + id(q) + ".>" }
	return a
}

func (a *Answering[Q]) name() string { var q Q; return q.Query() }

func (a *Answering[Q]) position() string {
	if a.view == nil {
		return ""
	}
	return a.view.Position().String()
}

func (a *Answering[Q]) answer(ctx context.Context, payload []byte, ask Ask) (any, error) {
	q, err := decodeStrictly[Q](payload)
	if err != nil {
		return nil, err
	}
	if ask.After != "" && a.view != nil {
		if err := awaitView(ctx, a.view, view.ParseToken(ask.After)); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, a.patience)
	defer cancel()
	body, err := a.fn(ctx, q, ask.Actor)
	if a.stream == "" || !refusal.Is(err, refusal.NotFound) {
		return body, err
	}
	if there, notYet := a.awaitEntity(ctx, a.filter(q)); notYet != nil || !there {
		return nil, cmp.Or(notYet, err)
	}
	return a.fn(ctx, q, ask.Actor)
}

// awaitEntity waits until the view shows all that is recorded of an entity; there
// is false when nothing is.
func (a *Answering[Q]) awaitEntity(ctx context.Context, filter string) (there bool, err error) {
	done, err := lookTurn(ctx)
	if err != nil {
		return false, err
	}
	last, err := a.view.Last(ctx, a.stream, filter)
	if done(); err != nil || last == 0 {
		return false, err
	}
	return true, awaitView(ctx, a.view, view.Token{a.stream: last})
}

// awaitView waits until a view has reached a token, and holds no slot meanwhile.
func awaitView(ctx context.Context, v *view.View, token view.Token) error {
	if v.Reached(token) {
		return nil
	}
	if err := Aside(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return v.Await(ctx, token)
}
