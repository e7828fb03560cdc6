package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"lonja/kit/eventlog"
)

// Earlier versions gave an event to JetStream's message scheduler, which publishes it again when it
// is due. Those that they have set are still to come, and replicas of the version before set more.
//
//	timers.set.<timer>.<event's id>    the schedule, one for each event
//	timers.due.<timer>.<event's id>    where it is published

// Headers of a reminder.
const (
	HeaderOriginal = "lonja-original-subject" // subject of its event
	// HeaderOriginalPosition is the position of its event, STREAM:sequence. Reminders that an
	// older program set have none.
	HeaderOriginalPosition = "lonja-original-position"
	// headerScheduler is set by the server: the subject of the schedule.
	headerScheduler = "Nats-Scheduler"
)

// ReminderSubjects are where earlier versions set the reminder of an event for a timer, and where
// it comes when it is due. The event's id may be "*".
func ReminderSubjects(timer, event string) (set, due string) {
	return setPrefix + timer + "." + event, duePrefix + timer + "." + event
}

const (
	setPrefix = "timers.set."
	duePrefix = "timers.due."
)

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
