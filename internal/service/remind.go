package service

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/internal/access"
	"lonja/internal/decider"
	"lonja/internal/eventlog"
	"lonja/internal/refusal"
)

// A reminder is the fact itself, kept by JetStream's message scheduler and
// published again when it is due. It is set by a reaction to the fact, so it
// survives a crash at any point, and setting it twice replaces it.
//
//	timers.set.<consumer>.<fact's id>    the schedule, one for each fact
//	timers.due.<consumer>.<fact's id>    where it fires
type remind[E eventlog.Event] struct {
	due string
	at  func(E) time.Time
}

// HeaderOriginal is the subject on which a reminder's fact was recorded.
const HeaderOriginal = "lonja-original-subject"

// keptAfterDue is how long a reminder that fired stays readable.
const keptAfterDue = "72h"

func (r *remind[E]) fact() string { var e E; return e.Fact() }

func (r *remind[E]) access() access.Grant { return access.Publish("timers.set." + r.due + ".*") }

func (r *remind[E]) bind(*eventlog.Log, decider.Config) {}

func (r *remind[E]) handle(ctx context.Context, _ decider.Wish, fact eventlog.Recorded, d *deps) error {
	at := r.at(fact.Event.(E))
	header := fact.Envelope.Header()
	header[HeaderOriginal] = []string{fact.Subject}
	header[jetstream.ExpectedStreamHeader] = []string{"TIMERS"}
	header["Nats-Schedule"] = []string{"@at " + at.UTC().Format(time.RFC3339Nano)}
	header["Nats-Schedule-Target"] = []string{"timers.due." + r.due + "." + fact.ID}
	header["Nats-Schedule-TTL"] = []string{keptAfterDue}
	_, err := d.js.PublishMsg(ctx, &nats.Msg{
		Subject: "timers.set." + r.due + "." + fact.ID,
		Header:  header,
		Data:    fact.Data,
	})
	var api *jetstream.APIError
	if err != nil && !errors.As(err, &api) {
		return refusal.New(refusal.Unavailable, "a reminder could not be set: %v", err)
	}
	return err
}

// reminded reads a fact that comes as a reminder: on its original subject.
func reminded(h nats.Header, subject string) string {
	if original := h.Get(HeaderOriginal); original != "" {
		return original
	}
	return subject
}
