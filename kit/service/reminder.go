package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/natsauth"
)

// A reminder is the event itself, kept by JetStream's message scheduler and
// published again when it is due. It is set by a reaction to the event, so it
// survives a crash at any point, and setting it twice replaces it.
type reminder[E eventlog.Event] struct {
	due string
	at  func(E) time.Time
}

// Headers of a reminder: where its event was recorded.
const (
	HeaderOriginal = "lonja-original-subject"
	// HeaderOriginalPosition is STREAM:sequence. Reminders that were set by an
	// older program have none.
	HeaderOriginalPosition = "lonja-original-position"
	// headerScheduler is the server's own: where the schedule was set.
	headerScheduler = "Nats-Scheduler"
)

// keptAfterDue is how long a reminder that fired stays readable.
const keptAfterDue = "72h"

// ReminderSubjects are where a reminder of an event is set, one for each event, and
// where it fires for a consumer. The event's id may be "*".
func ReminderSubjects(consumer, event string) (set, due string) {
	return setPrefix + consumer + "." + event, duePrefix + consumer + "." + event
}

const (
	setPrefix = "timers.set."
	duePrefix = "timers.due."
)

func (r *reminder[E]) eventName() string { var e E; return e.EventName() }

func (r *reminder[E]) permissions() natsauth.Permissions {
	set, _ := ReminderSubjects(r.due, "*")
	return natsauth.AllowPublish(set)
}

func (r *reminder[E]) bind(*eventlog.Log, decider.Config) {}

func (r *reminder[E]) handle(ctx context.Context, _ decider.Command, event eventlog.Record, d *deps) error {
	at := r.at(event.Event.(E))
	subject, due := ReminderSubjects(r.due, event.ID)
	header := event.Envelope.Header()
	header[HeaderOriginal] = []string{event.Subject}
	header[HeaderOriginalPosition] = []string{eventlog.Position(event.Stream, event.Sequence)}
	header[jetstream.ExpectedStreamHeader] = []string{d.Streams.StreamFor(subject)}
	header["Nats-Schedule"] = []string{"@at " + at.UTC().Format(time.RFC3339Nano)}
	header["Nats-Schedule-Target"] = []string{due}
	header["Nats-Schedule-TTL"] = []string{keptAfterDue}
	_, err := d.js.PublishMsg(ctx, &nats.Msg{
		Subject: subject,
		Header:  header,
		Data:    event.Data,
	})
	var api *jetstream.APIError
	if err != nil && !errors.As(err, &api) {
		return errs.New(errs.Unavailable, "a reminder could not be set: %v", err)
	}
	return err
}

// recall is the event that a reminder is of; other messages are their own. A
// schedule may name any target on TIMERS, but only this service may set one where
// its reminders are set, and the server notes where that was. It is given up when
// the reminder is another's, or its event is not in the log.
func (d *deps) recall(ctx context.Context, stored eventlog.Record) (eventlog.Record, error) {
	due, is := strings.CutPrefix(stored.Subject, duePrefix)
	if !is {
		return stored, nil
	}
	if set := stored.Headers.Get(headerScheduler); set != setPrefix+due {
		return stored, fmt.Errorf("%w: the reminder on %s was set on %q", errGivenUp, stored.Subject, set)
	}
	if stored.Headers.Get(HeaderOriginalPosition) == "" {
		return d.log.Decode(stored.Stream, stored.Sequence, stored.Headers.Get(HeaderOriginal), stored.Headers, stored.Data), nil
	}
	return d.original(ctx, stored.Headers.Get, stored.Data)
}

// original is the event that a reminder with these headers and body is of.
func (d *deps) original(ctx context.Context, header func(string) string, body []byte) (eventlog.Record, error) {
	stream, number, _ := strings.Cut(header(HeaderOriginalPosition), ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return eventlog.Record{}, fmt.Errorf("%w: header %s: %w", errGivenUp, HeaderOriginalPosition, err)
	}
	event, err := d.find(ctx, stream, seq, header(eventlog.HeaderID), body)
	if errors.Is(err, errGone) {
		err = fmt.Errorf("%w: the reminder's fact: %w", errGivenUp, err)
	}
	return event, err
}
