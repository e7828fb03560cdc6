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

// reminder is the handler of Remind. The event itself is given to JetStream's message
// scheduler, which publishes it again when it is due. A crash at any point loses nothing,
// since the reaction that sets it is delivered again, and setting it twice replaces it.
//
//	timers.set.<consumer>.<event's id>    the schedule, one for each event
//	timers.due.<consumer>.<event's id>    where it is published
type reminder[E eventlog.Event] struct {
	due string
	at  func(E) time.Time
}

// Headers of a reminder.
const (
	HeaderOriginal = "lonja-original-subject" // subject of its event
	// HeaderOriginalPosition is the position of its event, STREAM:sequence. Reminders that an
	// older program set have none.
	HeaderOriginalPosition = "lonja-original-position"
	// headerScheduler is set by the server: the subject of the schedule.
	headerScheduler = "Nats-Scheduler"
)

// keptAfterDue is how long a reminder stays readable after it was published.
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

// resolveReminder returns the event of a reminder, and any other message as it is. A schedule
// may name any subject of TIMERS as its target. But only this service may set schedules on the
// subjects of its own reminders, and the server notes the schedule's subject. The error is
// errGivenUp when the reminder was set elsewhere, or its event is not in the log.
func (d *deps) resolveReminder(ctx context.Context, stored eventlog.Record) (eventlog.Record, error) {
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
	return d.reminderEvent(ctx, stored.Headers.Get, stored.Data)
}

// reminderEvent returns the event of a reminder with these headers and body.
func (d *deps) reminderEvent(ctx context.Context, header func(string) string, body []byte) (eventlog.Record, error) {
	stream, number, _ := strings.Cut(header(HeaderOriginalPosition), ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return eventlog.Record{}, fmt.Errorf("%w: header %s: %w", errGivenUp, HeaderOriginalPosition, err)
	}
	event, err := d.messageAt(ctx, stream, seq, header(eventlog.HeaderID), body)
	if errors.Is(err, errNotInLog) {
		err = fmt.Errorf("%w: the reminder's event: %w", errGivenUp, err)
	}
	return event, err
}
