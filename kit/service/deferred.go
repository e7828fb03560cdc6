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

// deferred is the name of the consumer of the service's deferred commands.
func (s *Service) deferred() string { return s.Name + "-deferred" }

// addDeferred handles the commands that were deferred while the service was down.
func (s *Service) addDeferred(router *message.Router, d *deps) error {
	if !d.Streams.HasConsumer(s.deferred()) {
		return nil // its commands hold secrets, and must not be stored
	}
	return d.consume(router, bus.DeferredStream, s.deferred(), func(ctx context.Context, m *message.Message) error {
		return d.handleDeferred(ctx, m, d.record(m), false)
	})
}

// handleDeferred decides on a deferred command and stores the outcome. M is the delivery that
// brought it. When the command is retried, the new outcome replaces the one before. A command
// that this program does not know is left to a newer replica, and rejected when none has
// handled it after a while.
func (d *deps) handleDeferred(ctx context.Context, m *message.Message, deferred eventlog.Record, retried bool) error {
	name, id := parseDeferred(deferred.Subject)
	var receipt decider.Receipt
	var err error
	switch i := slices.IndexFunc(d.service.Commands, func(c Command) bool { return c.name() == name }); {
	case i >= 0:
		receipt, err = d.decide(ctx, d.service.Commands[i], request{deferred.Headers.Get, id, deferred.Data, deferred.StoredAt})
	default:
		if err = d.unknown(m, "the command "+name); errors.Is(err, errGivenUp) {
			err = errs.New(errs.NotFound, "there is no command %s", name)
		}
	}
	if errs.Is(err, errs.Unavailable) {
		return err
	}
	outcome := d.outcome(id, receipt, err)
	if _, coded := errs.As(err); coded {
		err = nil // the outcome is the answer
	}
	if err = d.countFailure(m, err); err != nil && !errors.Is(err, errGivenUp) {
		return err
	}
	return errors.Join(d.storeOutcome(ctx, outcome, deferred.Headers.Get(eventlog.HeaderActor), retried), err)
}

type deferredAtKey struct{}

// DeferredAt returns when the command that is being decided was deferred, and the zero time
// for one that came as a request.
func DeferredAt(ctx context.Context) time.Time {
	at, _ := ctx.Value(deferredAtKey{}).(time.Time)
	return at
}

// outcome returns the outcome of a decision. An error without a code is logged, and not shown.
func (d *deps) outcome(id string, r decider.Receipt, err error) bus.Outcome {
	body, err := resultOf(r, err)
	if err == nil {
		return bus.Outcome{ID: id, Status: bus.OutcomeDone, Position: eventlog.Position(r.Stream, r.Sequence), Result: body}
	}
	why, coded := errs.As(err)
	if !coded {
		d.Logger.Error("a deferred command failed", "id", id, "error", err)
		why = errs.New(errs.Internal, "something went wrong on our side")
	}
	return bus.Outcome{ID: id, Status: bus.OutcomeRejected, Problem: why}
}

func resultOf(r decider.Receipt, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	body, err := encode(r.Reply)
	if err != nil {
		return nil, err
	}
	return body.([]byte), nil
}

// storeOutcome stores a command's outcome under its sender's name. Only the first outcome of a
// command is stored, unless the command was retried.
func (d *deps) storeOutcome(ctx context.Context, o bus.Outcome, sender string, retried bool) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	header := nats.Header{
		eventlog.HeaderID:              {o.ID},
		eventlog.HeaderActor:           {sender},
		jetstream.ExpectedStreamHeader: {bus.DeferredStream},
	}
	if !retried {
		header[jetstream.ExpectedLastSubjSeqHeader] = []string{"0"}
	}
	_, err = d.js.PublishMsg(ctx, &nats.Msg{Subject: bus.OutcomeSubject(o.ID), Data: data, Header: header})
	switch {
	case eventlog.IsConflict(err):
		return nil
	case eventlog.IsFull(err): // the command is done, and the next ones must not wait for room
		d.metrics.full.WithLabelValues(bus.DeferredStream).Inc()
		d.Logger.Error("the outcome of a deferred command was not stored: the stream is full", "id", o.ID, "status", o.Status, "error", err)
		return nil
	}
	return err
}

// parseDeferred splits "deferred.orders.place.0198f3" into "orders.place" and "0198f3".
func parseDeferred(subject string) (name, id string) {
	name = strings.TrimPrefix(subject, "deferred.")
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name, id = name[:i], name[i+1:]
	}
	return name, id
}
