package service

import (
	"cmp"
	"context"
	"errors"
	"time"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
	"lonja/kit/projection"
)

// Handle declares that the service handles the command C by a decision on an entity with the
// state S.
//
// The decision is a pure function: it returns the event to record, nil when the command asks
// for nothing new, or an error. It may be called several times for one command, since a
// conflict with another event of the entity loads the state and decides again.
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

// normal returns a command in its normal form: the result of its method Normal, if it has one.
// The error of Normal is left to the decision, which comes after the log was asked whether
// this command is recorded already. So a command that is sent again gets its first answer,
// even if stricter rules came later.
func normal[C bus.Command](c C) (C, error) {
	if n, ok := any(c).(interface{ Normal() (C, error) }); ok {
		return n.Normal()
	}
	return c, nil
}

// HandleWith is Handle for a decision that needs more than the entity's state. Lookup fetches
// that, from a view for instance, and its result is passed to the decision, which stays pure.
// Lookup gets the command as it was sent; the decision gets it in its normal form. An error of
// lookup is the command's.
//
// A result that is a Fingerprinter or a Replier has more to say; see there.
func HandleWith[S any, C bus.Command, K any](d *decider.Decider[S],
	lookup func(context.Context, C) (K, error),
	decide func(S, C, K, decider.Meta) (eventlog.Event, error)) *CommandHandler[S, C] {
	return HandleWithActor(d, func(ctx context.Context, c C, _ eventlog.Actor) (K, error) { return lookup(ctx, c) }, decide)
}

// HandleWithActor is HandleWith for a lookup that also depends on who sent the command.
func HandleWithActor[S any, C bus.Command, K any](d *decider.Decider[S],
	lookup func(context.Context, C, eventlog.Actor) (K, error),
	decide func(S, C, K, decider.Meta) (eventlog.Event, error)) *CommandHandler[S, C] {
	return &CommandHandler[S, C]{decider: d, prepare: func(ctx context.Context, c C, actor eventlog.Actor) (decider.Decide[S], any, error) {
		found, err := lookup(ctx, c, actor)
		if err != nil {
			return nil, nil, err
		}
		c, wrong := normal(c)
		return func(s S, m decider.Meta) (eventlog.Event, error) {
			if wrong != nil {
				return nil, wrong
			}
			return decide(s, c, found, m)
		}, found, nil
	}}
}

// Fingerprinter is a lookup's result with its own idempotency fingerprint. Normally the hash
// of a command's body is recorded with the event, and a command with the same id and another
// hash is an error. A body that holds a password must not be recorded, not even as a hash; the
// result's fingerprint is hashed instead.
type Fingerprinter interface{ Fingerprint() string }

// Replier is a lookup's result that makes the answer. Its Reply takes the place of the
// function given to CommandHandler.Reply, and the same rules apply.
type Replier[S any] interface {
	Reply(S, eventlog.Event) any
}

// CommandHandler is a declared command. Its methods add to the declaration and return it.
type CommandHandler[S any, C bus.Command] struct {
	decider *decider.Decider[S]
	prepare func(context.Context, C, eventlog.Actor) (decide decider.Decide[S], found any, err error)
	target  func(context.Context, C) (string, error)
	reply   func(S, C, eventlog.Event) any
	waitFor *projection.View
	unique  *projection.View
	next    *nextStep // nil when the command is answered at once
	intake  *intake   // nil when as many are accepted as come
	limited bool      // to operators
}

// Reply sets the function that makes the answer. It gets the state after the event, which it
// must not keep, and the event, which is nil when the decision recorded none. When it returns
// an error, the sender gets that error, although an event may be recorded. Without Reply the
// answer is a receipt only.
func (h *CommandHandler[S, C]) Reply(reply func(S, eventlog.Event) any) *CommandHandler[S, C] {
	return h.ReplyWithCommand(func(s S, _ C, event eventlog.Event) any { return reply(s, event) })
}

// ReplyWithCommand is Reply for an answer that also depends on the command. When nothing was
// recorded, only the command tells which part of the state is meant.
func (h *CommandHandler[S, C]) ReplyWithCommand(reply func(S, C, eventlog.Event) any) *CommandHandler[S, C] {
	h.reply = reply
	return h
}

// Target sets the function that names the entity to decide on, when the command's own EntityID
// does not. An error of target is the command's.
func (h *CommandHandler[S, C]) Target(target func(context.Context, C) (string, error)) *CommandHandler[S, C] {
	h.target = target
	return h
}

// WaitFor makes the command wait until the view has reached the sender's consistency token. A
// deferred command waits until the view has caught up with the log, because it is mostly
// handled just after a start, when views are behind.
func (h *CommandHandler[S, C]) WaitFor(v *projection.View) *CommandHandler[S, C] {
	h.waitFor = v
	return h
}

// UniqueIDIn rejects a command whose id was used before for another entity, according to the
// view, which must remember commands; see projection.Definition. It matters where the sender
// chooses the entity's id.
func (h *CommandHandler[S, C]) UniqueIDIn(v *projection.View) *CommandHandler[S, C] {
	h.unique = v
	return h
}

// OperatorsOnly limits the command to operators: ClientPermissions does not include it.
func (h *CommandHandler[S, C]) OperatorsOnly() *CommandHandler[S, C] {
	h.limited = true
	return h
}

func (h *CommandHandler[S, C]) operatorsOnly() bool { return h.limited }

func (h *CommandHandler[S, C]) name() string { var c C; return c.CommandName() }

func (h *CommandHandler[S, C]) permissions() natsauth.Permissions {
	p := h.decider.Permissions()
	if h.next != nil {
		p.Add(h.next.reaction.permissions())
	}
	return p
}

func (h *CommandHandler[S, C]) bind(log *eventlog.Log, config decider.Config) {
	h.decider.Bind(log, config)
	if h.next != nil {
		h.next.reaction.bind(log, config)
	}
}

func (h *CommandHandler[S, C]) handle(ctx context.Context, cmd decider.Command, payload []byte, d *deps) (decider.Receipt, error) {
	c, err := decodeStrictly[C](payload)
	if err != nil {
		return decider.Receipt{}, err
	}
	// The sender may have checked nothing: anyone with the right key can send any JSON.
	if err := c.Check(); err != nil {
		return decider.Receipt{}, err
	}
	if h.waitFor != nil {
		if err := h.awaitFresh(ctx, cmd); err != nil {
			return decider.Receipt{}, err
		}
	}
	if cmd.EntityID = c.EntityID(); h.target != nil {
		if cmd.EntityID, err = h.target(ctx, c); err != nil {
			return decider.Receipt{}, err
		}
	}
	if h.unique != nil {
		if entity, err := h.unique.CommandEntity(ctx, cmd.ID); err != nil {
			return decider.Receipt{}, err
		} else if entity != "" && entity != cmd.EntityID {
			return decider.Receipt{}, decider.IDReused()
		}
	}
	decide, found, err := h.prepare(ctx, c, cmd.Actor)
	if err != nil {
		return decider.Receipt{}, err
	}
	cmd.RequestHash = eventlog.HashBody(payload)
	if f, ok := found.(Fingerprinter); ok {
		cmd.RequestHash = eventlog.HashBody([]byte(f.Fingerprint()))
	}
	var reply func(S, eventlog.Event) any
	if h.reply != nil {
		reply = func(s S, event eventlog.Event) any { return h.reply(s, c, event) }
	}
	if r, ok := found.(Replier[S]); ok {
		reply = r.Reply
	}
	started, err := h.intake.admit(ctx, h.decider.EntityID(cmd))
	if err != nil {
		return decider.Receipt{}, err
	}
	receipt, err := h.decider.Decide(ctx, cmd, decide, reply)
	started(receipt, err)
	if errors.Is(err, eventlog.ErrKeyDestroyed) {
		err = errs.New(errs.NotFound, "what this command is about was erased meanwhile")
	}
	if err != nil || h.next == nil || receipt.Record.Event == nil {
		return receipt, err
	}
	return h.next.take(ctx, receipt, d)
}

// awaitFresh waits for the view that the command must not be ahead of.
func (h *CommandHandler[S, C]) awaitFresh(ctx context.Context, cmd decider.Command) error {
	switch {
	case !DeferredAt(ctx).IsZero():
		return h.waitFor.CatchUp(ctx)
	case cmd.After != "":
		return h.waitFor.Await(ctx, projection.ParseToken(cmd.After))
	}
	return nil
}

// Answer declares that the service answers the query Q from a view, which may be nil. The
// query waits until the view has reached the sender's consistency token. The answer is
// marshalled to JSON unless it is JSON already.
func Answer[Q interface{ QueryName() string }](v *projection.View, answer func(context.Context, Q, eventlog.Actor) (any, error)) *QueryHandler[Q] {
	return &QueryHandler[Q]{view: v, fn: answer, timeout: timeout}
}

// Stopping returns a channel that is closed when the service begins to stop. A query that
// waits for something to happen should then answer with what it has. It is nil outside of a
// query.
func Stopping(ctx context.Context) <-chan struct{} {
	stopping, _ := ctx.Value(stoppingKey{}).(<-chan struct{})
	return stopping
}

type stoppingKey struct{}

// QueryMeta is who asks a query, and the consistency token that the view must have reached.
type QueryMeta struct {
	Actor eventlog.Actor
	After string
}

// QueryHandler is a declared query. Its methods add to the declaration and return it.
type QueryHandler[Q interface{ QueryName() string }] struct {
	view    *projection.View
	stream  string // of the entity that the query is about, "" for none
	filter  func(Q) string
	fn      func(context.Context, Q, eventlog.Actor) (any, error)
	timeout time.Duration
}

// Timeout sets how long the answer may take, when five seconds are too few, as for a query
// that waits until something happens.
func (a *QueryHandler[Q]) Timeout(d time.Duration) *QueryHandler[Q] {
	a.timeout = d
	return a
}

// ForEntity declares which entity the query is about. Filter returns the subject filter of the
// entity's events on the stream ("events.order.ord_1.>", also where the stream has partitions), which the view must read. Before the query is answered with
// NotFound, the stream's leader is asked for such events, and if there are any that the view
// lacks, the query waits for the view and is answered again. So an entity is found at every
// replica as soon as it is recorded, without a consistency token.
func (a *QueryHandler[Q]) ForEntity(stream string, filter func(Q) string) *QueryHandler[Q] {
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

func (a *QueryHandler[Q]) answer(ctx context.Context, payload []byte, meta QueryMeta) (any, error) {
	q, err := decodeStrictly[Q](payload)
	if err != nil {
		return nil, err
	}
	if meta.After != "" && a.view != nil {
		if err := awaitView(ctx, a.view, projection.ParseToken(meta.After)); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	body, err := a.fn(ctx, q, meta.Actor)
	if a.stream == "" || !errs.Is(err, errs.NotFound) {
		return body, err
	}
	if exists, waitErr := a.awaitEntity(ctx, a.filter(q)); waitErr != nil || !exists {
		return nil, cmp.Or(waitErr, err)
	}
	return a.fn(ctx, q, meta.Actor)
}

// awaitEntity waits until the view includes every recorded event of an entity. Exists is false
// when none is recorded.
func (a *QueryHandler[Q]) awaitEntity(ctx context.Context, filter string) (exists bool, err error) {
	done, err := AskLog(ctx)
	if err != nil {
		return false, err
	}
	last, err := a.view.Last(ctx, a.stream, filter)
	if done(); err != nil || last.Sequence == 0 {
		return false, err
	}
	return true, awaitView(ctx, a.view, projection.Token{last.Stream: last.Sequence})
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
