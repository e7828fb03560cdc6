package service

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/internal/decider"
	"lonja/internal/envelope"
	"lonja/internal/eventlog"
	"lonja/internal/refusal"
	"lonja/internal/wire"
)

// DeferredStream is where a command is left whose service does not answer, once
// for each id, and taken up when the service is back. What became of it is kept
// there, too:
//
//	deferred.<service>.<command>.<id>    the command, as it was sent
//	outcomes.<id>                        an Outcome
const DeferredStream = "DEFERRED"

// DeferredSubject is where a command is left; name is "orders.place".
func DeferredSubject(name, id string) string { return "deferred." + name + "." + id }

// OutcomeSubject is where it is told what became of a command.
func OutcomeSubject(id string) string { return "outcomes." + id }

// The statuses of an Outcome.
const (
	Pending = "pending"
	Done    = "done"
	Refused = "refused"
)

// Outcome is what became of a command that was left for later.
type Outcome struct {
	ID       string           `json:"id"`
	Status   string           `json:"status" enum:"pending,done,refused"`
	Position string           `json:"position,omitempty"` // STREAM:sequence, when done
	Result   json.RawMessage  `json:"result,omitempty"`   // the answer, when done
	Problem  *refusal.Refusal `json:"problem,omitempty"`  // why not, when refused
}

// deferred is the name of the consumer that brings the commands that were left.
func (s *Service) deferred() string { return s.Name + "-deferred" }

// addDeferred takes up the commands that were left while the service was away.
func (s *Service) addDeferred(router *message.Router, d *deps) error {
	if !d.Streams.Has(s.deferred()) {
		return nil // its commands are not for keeping: they hold secrets
	}
	commands := make(map[string]Command, len(s.Commands))
	for _, c := range s.Commands {
		commands[c.name()] = c
	}
	return d.consume(router, s.deferred(), func(ctx context.Context, m *message.Message) error {
		name, id := splitDeferred(m.Metadata.Get(wire.MetaSubject))
		command, ok := commands[name]
		var receipt decider.Receipt
		err := error(refusal.New(refusal.NotFound, "there is no command %s", name))
		if ok {
			receipt, err = d.decide(ctx, command, m, trustedThen)
		}
		if refusal.Is(err, refusal.Unavailable) {
			return err
		}
		outcome, err := d.outcome(id, receipt, err), givenUpUnlessRefused(m, err)
		if err != nil && !errors.Is(err, errGivenUp) {
			return err
		}
		return errors.Join(d.tell(ctx, m, outcome), err)
	})
}

// trustedThen lets a command pass that was accepted while its sender was trusted.
// That they have logged out since takes nothing back that they were promised.
func trustedThen(context.Context, envelope.Actor) error { return nil }

// givenUpUnlessRefused is nil for an answer, be it a refusal.
func givenUpUnlessRefused(m *message.Message, err error) error {
	if _, refused := refusal.As(err); refused {
		return nil
	}
	return givenUp(m, err)
}

func (d *deps) outcome(id string, r decider.Receipt, err error) Outcome {
	body, err := answerOf(r, err)
	if err == nil {
		return Outcome{ID: id, Status: Done, Position: Position(r.Stream, r.Sequence), Result: body}
	}
	why, coded := refusal.As(err)
	if !coded {
		d.Logger.Error("a deferred command failed", "id", id, "error", err)
		why = refusal.New(refusal.Internal, "something went wrong on our side")
	}
	return Outcome{ID: id, Status: Refused, Problem: why}
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

// tell keeps the outcome, the first one for each command, under the name of
// whoever sent it.
func (d *deps) tell(ctx context.Context, m *message.Message, o Outcome) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = d.js.PublishMsg(ctx, &nats.Msg{Subject: OutcomeSubject(o.ID), Data: data, Header: nats.Header{
		envelope.HeaderID:                   {o.ID},
		envelope.HeaderActor:                {m.Metadata.Get(envelope.HeaderActor)},
		jetstream.ExpectedStreamHeader:      {DeferredStream},
		jetstream.ExpectedLastSubjSeqHeader: {"0"},
	}})
	if eventlog.IsConflict(err) {
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
