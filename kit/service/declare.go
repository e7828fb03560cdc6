package service

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/projection"
)

// Handle declares that a service decides the command C on entities with state S.
func Handle[S any, C bus.Command](d *decider.Decider[S], decide func(S, C, decider.Meta) (eventlog.Event, error)) *CommandHandler[S, C] {
	return &CommandHandler[S, C]{decider: d, prepare: func(_ context.Context, c C, _ eventlog.Actor) (decider.Decide[S], any, error) {
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
func normal[C bus.Command](c C) (C, error) {
	if n, ok := any(c).(interface{ Normal() (C, error) }); ok {
		return n.Normal()
	}
	return c, nil
}

// HandleWith is On for a decision that needs to know more than the entity's
// state. Know looks that up, in a view of the service's own for instance; what
// it finds is handed to the decision, which stays pure. Know is given the command
// as it was sent, the decision as it is normally.
//
// When what is known is a Fingerprinter, its fingerprint stands for the
// command's body wherever two commands with one id are compared.
func HandleWith[S any, C bus.Command, K any](d *decider.Decider[S],
	know func(context.Context, C) (K, error),
	decide func(S, C, K, decider.Meta) (eventlog.Event, error)) *CommandHandler[S, C] {
	return HandleWithActor(d, func(ctx context.Context, c C, _ eventlog.Actor) (K, error) { return know(ctx, c) }, decide)
}

// HandleWithActor is HandleWith where what is to be known depends on who sends the
// command, too.
func HandleWithActor[S any, C bus.Command, K any](d *decider.Decider[S],
	know func(context.Context, C, eventlog.Actor) (K, error),
	decide func(S, C, K, decider.Meta) (eventlog.Event, error)) *CommandHandler[S, C] {
	return &CommandHandler[S, C]{decider: d, prepare: func(ctx context.Context, c C, who eventlog.Actor) (decider.Decide[S], any, error) {
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
// whose hash is recorded with the event: a password must not be, not even so.
type Fingerprinter interface{ Fingerprint() string }

// Replier is what is known when the answer is made of it, too. It stands in for
// the function that Replies would be given, on the same terms.
type Replier[S any] interface {
	Reply(S, eventlog.Event) any
}

// CommandHandler is a declared command.
type CommandHandler[S any, C bus.Command] struct {
	decider *decider.Decider[S]
	prepare func(context.Context, C, eventlog.Actor) (decide decider.Decide[S], known any, err error)
	target  func(context.Context, C) (string, error)
	reply   func(S, C, eventlog.Event) any
	after   *projection.View
	once    *projection.View
	private bool
}

// Reply says what the answer is made of: the state after the event, which must
// not be kept, and the event, nil when the command had been fulfilled before. An
// answer that is an error refuses the command, although an event was recorded.
// Without Replies the answer is only a receipt.
func (h *CommandHandler[S, C]) Reply(reply func(S, eventlog.Event) any) *CommandHandler[S, C] {
	return h.ReplyToCommand(func(s S, _ C, event eventlog.Event) any { return reply(s, event) })
}

// ReplyToCommand is Replies for an answer that depends on the command, too: when
// nothing was recorded, only the command tells which part of the state was meant.
func (h *CommandHandler[S, C]) ReplyToCommand(reply func(S, C, eventlog.Event) any) *CommandHandler[S, C] {
	h.reply = reply
	return h
}

// Target says which entity the command is about when its own NewEntityID does not.
func (h *CommandHandler[S, C]) Target(target func(context.Context, C) (string, error)) *CommandHandler[S, C] {
	h.target = target
	return h
}

// WaitFor makes the command wait, like a query, until the view has reached the
// sender's consistency token. One that was left for later waits until it has caught
// up: it is mostly taken up by a service that has just started, whose view is behind.
func (h *CommandHandler[S, C]) WaitFor(v *projection.View) *CommandHandler[S, C] {
	h.after = v
	return h
}

// UniqueIn makes the service notice when a command's id was used before for another
// entity. It matters where the sender chooses the entity's id; the view must
// remember commands.
func (h *CommandHandler[S, C]) UniqueIn(v *projection.View) *CommandHandler[S, C] {
	h.once = v
	return h
}

// ForOperators keeps the command to those who look after the services: nobody else
// is granted to send it.
func (h *CommandHandler[S, C]) ForOperators() *CommandHandler[S, C] {
	h.private = true
	return h
}

func (h *CommandHandler[S, C]) forOperators() bool { return h.private }

func (h *CommandHandler[S, C]) name() string { var c C; return c.CommandName() }

func (h *CommandHandler[S, C]) permissions() natsauth.Permissions { return h.decider.Permissions() }

func (h *CommandHandler[S, C]) bind(log *eventlog.Log, config decider.Config) {
	h.decider.Bind(log, config)
}

func (h *CommandHandler[S, C]) handle(ctx context.Context, w decider.Command, payload []byte) (decider.Receipt, error) {
	c, err := decodeStrictly[C](payload)
	if err != nil {
		return decider.Receipt{}, err
	}
	// Who sent it may have checked nothing: anyone with the right key can write any JSON.
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
		if entity, err := h.once.CommandEntity(ctx, w.ID); err != nil {
			return decider.Receipt{}, err
		} else if entity != "" && entity != w.EntityID {
			return decider.Receipt{}, decider.IDReused()
		}
	}
	decide, known, err := h.prepare(ctx, c, w.Actor)
	if err != nil {
		return decider.Receipt{}, err
	}
	w.RequestHash = eventlog.HashBody(payload)
	if f, ok := known.(Fingerprinter); ok {
		w.RequestHash = eventlog.HashBody([]byte(f.Fingerprint()))
	}
	var reply func(S, eventlog.Event) any
	if h.reply != nil {
		reply = func(s S, event eventlog.Event) any { return h.reply(s, c, event) }
	}
	if r, ok := known.(Replier[S]); ok {
		reply = r.Reply
	}
	return h.decider.Decide(ctx, w, decide, reply)
}

func (h *CommandHandler[S, C]) freshen(ctx context.Context, w decider.Command) error {
	switch {
	case !DeferredAt(ctx).IsZero():
		return h.after.CatchUp(ctx)
	case w.After != "":
		return h.after.Await(ctx, projection.ParseToken(w.After))
	}
	return nil
}

// React declares what follows from the event E: a decision on the entity that
// target names, "" for none.
func React[S any, E eventlog.Event](d *decider.Decider[S], target func(E) string,
	decide func(S, E, decider.Meta) (eventlog.Event, error)) Handler {
	return &reactHandler[S, E]{d, target, decide}
}

type reactHandler[S any, E eventlog.Event] struct {
	decider *decider.Decider[S]
	target  func(E) string
	decide  func(S, E, decider.Meta) (eventlog.Event, error)
}

func (w *reactHandler[S, E]) eventName() string { var e E; return e.EventName() }

func (w *reactHandler[S, E]) permissions() natsauth.Permissions { return w.decider.Permissions() }

func (w *reactHandler[S, E]) bind(log *eventlog.Log, config decider.Config) {
	w.decider.Bind(log, config)
}

func (w *reactHandler[S, E]) handle(ctx context.Context, wish decider.Command, event eventlog.Record, _ *deps) error {
	e := event.Event.(E)
	if wish.EntityID = w.target(e); wish.EntityID == "" {
		return nil
	}
	_, err := w.decider.Decide(ctx, wish,
		func(s S, m decider.Meta) (eventlog.Event, error) { return w.decide(s, e, m) }, nil)
	if r, refused := errs.As(err); refused && r.Code != errs.Unavailable {
		// A reaction has nobody to refuse: what it may not do it must leave.
		return fmt.Errorf("a reaction was refused: %w", err)
	}
	return err
}

// Remind declares that the event E is to be delivered once more at a later
// time, to the consumer named due.
func Remind[E eventlog.Event](due string, at func(E) time.Time) Handler { return &reminder[E]{due, at} }

// Answer declares that a service answers the query Q out of a view.
func Answer[Q interface{ QueryName() string }](v *projection.View, answer func(context.Context, Q, eventlog.Actor) (any, error)) *QueryHandler[Q] {
	return &QueryHandler[Q]{view: v, fn: answer, timeout: timeout}
}

// Stopping is closed when the service that answers begins to stop. A query that
// waits for something to happen should then answer with what there is.
func Stopping(ctx context.Context) <-chan struct{} {
	stopping, _ := ctx.Value(stoppingKey{}).(<-chan struct{})
	return stopping
}

type stoppingKey struct{}

// QueryMeta is who asks a query, and how fresh the answer must be.
type QueryMeta struct {
	Actor eventlog.Actor
	After string
}

// QueryHandler is a declared query.
type QueryHandler[Q interface{ QueryName() string }] struct {
	view    *projection.View
	stream  string // where the entity is that it is about, "" for about none
	filter  func(Q) string
	fn      func(context.Context, Q, eventlog.Actor) (any, error)
	timeout time.Duration
}

// Timeout is how long the answer may take, when that is not the usual few
// seconds: for queries that wait until something happens.
func (a *QueryHandler[Q]) Timeout(d time.Duration) *QueryHandler[Q] {
	a.timeout = d
	return a
}

// About declares which entity the query is about: filter matches the entity's events
// on stream, which the view must read. Before the query is answered with NotFound, the
// log is asked, and the view is waited for when it lacks events of the entity. So
// the entity is found at any replica as soon as it is recorded, without a
// consistency token.
func (a *QueryHandler[Q]) About(stream string, filter func(Q) string) *QueryHandler[Q] {
	a.stream, a.filter = stream, filter
	return a
}

func (a *QueryHandler[Q]) name() string { var q Q; return q.QueryName() }

func (a *QueryHandler[Q]) position() string {
	if a.view == nil {
		return ""
	}
	return a.view.Position().String()
}

func (a *QueryHandler[Q]) answer(ctx context.Context, payload []byte, ask QueryMeta) (any, error) {
	q, err := decodeStrictly[Q](payload)
	if err != nil {
		return nil, err
	}
	if ask.After != "" && a.view != nil {
		if err := awaitView(ctx, a.view, projection.ParseToken(ask.After)); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	body, err := a.fn(ctx, q, ask.Actor)
	if a.stream == "" || !errs.Is(err, errs.NotFound) {
		return body, err
	}
	if there, notYet := a.awaitEntity(ctx, a.filter(q)); notYet != nil || !there {
		return nil, cmp.Or(notYet, err)
	}
	return a.fn(ctx, q, ask.Actor)
}

// awaitEntity waits until the view shows all that is recorded of an entity; there
// is false when nothing is.
func (a *QueryHandler[Q]) awaitEntity(ctx context.Context, filter string) (there bool, err error) {
	done, err := lookTurn(ctx)
	if err != nil {
		return false, err
	}
	last, err := a.view.Last(ctx, a.stream, filter)
	if done(); err != nil || last == 0 {
		return false, err
	}
	return true, awaitView(ctx, a.view, projection.Token{a.stream: last})
}

// awaitView waits until a view has reached a token, and holds no slot meanwhile.
func awaitView(ctx context.Context, v *projection.View, token projection.Token) error {
	if v.Covers(token) {
		return nil
	}
	if err := ReleaseSlot(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return v.Await(ctx, token)
}
