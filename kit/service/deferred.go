package service

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/bus"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// deferred is the name of the consumer that brings the commands that were left.
func (s *Service) deferred() string { return s.Name + "-deferred" }

// addDeferred takes up the commands that were left while the service was away.
func (s *Service) addDeferred(router *message.Router, d *deps) error {
	if !d.Streams.HasConsumer(s.deferred()) {
		return nil // its commands are not for keeping: they hold secrets
	}
	return d.consume(router, s.deferred(), func(ctx context.Context, m *message.Message) error {
		return d.takeUp(ctx, m, d.read(m), false)
	})
}

// takeUp decides a command that was left and tells what became of it. M is the
// delivery that brought it, again that it is retried: then a new outcome takes the
// place of the one before. A command that there is not is left to a replica that is
// newer, and refused when none has taken it for a while.
func (d *deps) takeUp(ctx context.Context, m *message.Message, left eventlog.Record, again bool) error {
	name, id := splitDeferred(left.Subject)
	var receipt decider.Receipt
	var err error
	switch i := slices.IndexFunc(d.service.Commands, func(c Command) bool { return c.name() == name }); {
	case i >= 0:
		receipt, err = d.decide(ctx, d.service.Commands[i], sent{left.Headers.Get, id, left.Data, left.StoredAt})
	case deliveries(m) < unknownTries:
		err = errs.New(errs.Unavailable, "%s is a command that a newer program must decide", name)
	default:
		err = errs.New(errs.NotFound, "there is no command %s", name)
	}
	if errs.Is(err, errs.Unavailable) {
		return err
	}
	outcome := d.outcome(id, receipt, err)
	if _, refused := errs.As(err); refused {
		err = nil // it has its answer
	}
	if err = d.givenUp(m, err); err != nil && !errors.Is(err, errGivenUp) {
		return err
	}
	return errors.Join(d.tell(ctx, outcome, left.Headers.Get(eventlog.HeaderActor), again), err)
}

type deferredAtKey struct{}

// DeferredAt is when the command that is decided was left for later, zero for one that
// came at once.
func DeferredAt(ctx context.Context) time.Time {
	left, _ := ctx.Value(deferredAtKey{}).(time.Time)
	return left
}

func (d *deps) outcome(id string, r decider.Receipt, err error) bus.Outcome {
	body, err := answerOf(r, err)
	if err == nil {
		return bus.Outcome{ID: id, Status: bus.Done, Position: eventlog.Position(r.Stream, r.Sequence), Result: body}
	}
	why, coded := errs.As(err)
	if !coded {
		d.Logger.Error("a deferred command failed", "id", id, "error", err)
		why = errs.New(errs.Internal, "something went wrong on our side")
	}
	return bus.Outcome{ID: id, Status: bus.Refused, Problem: why}
}

func answerOf(r decider.Receipt, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	body, err := encode(r.Reply)
	if err != nil {
		return nil, err
	}
	return body.([]byte), nil
}

// tell keeps the outcome under the name of whoever sent the command: the first one
// for each command, unless that was retried.
func (d *deps) tell(ctx context.Context, o bus.Outcome, sender string, again bool) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	header := nats.Header{
		eventlog.HeaderID:              {o.ID},
		eventlog.HeaderActor:           {sender},
		jetstream.ExpectedStreamHeader: {bus.DeferredStream},
	}
	if !again {
		header[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
	}
	_, err = d.js.PublishMsg(ctx, &nats.Msg{Subject: bus.OutcomeSubject(o.ID), Data: data, Header: header})
	switch {
	case eventlog.IsConflict(err):
		return nil
	case eventlog.IsFull(err): // the command is done; others must not wait for that
		d.metrics.full.WithLabelValues(bus.DeferredStream).Inc()
		d.Logger.Error("there is no room for what became of a deferred command", "id", o.ID, "status", o.Status, "error", err)
		return nil
	}
	return err
}

// splitDeferred takes "deferred.orders.place.0198f3" apart into "orders.place"
// and "0198f3".
func splitDeferred(subject string) (name, id string) {
	name = strings.TrimPrefix(subject, "deferred.")
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name, id = name[:i], name[i+1:]
	}
	return name, id
}
