package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	"lonja/kit/bus"
	"lonja/kit/natsauth"
	"lonja/kit/projection"
	"lonja/kit/streams"
)

// Timer declares reactions that happen when a time has come: a reservation runs out, a deadline
// passes. Nothing is stored for it besides the event itself. The rows of a view say which events
// are still to be reacted to and when each is due, and every replica's clock asks its own rows.
//
// An event is due by the time of the server that stores the log, never before and mostly within a
// second. It is later while the view is behind, is being built or has stopped, and when very many
// are due at once: those are handled at a pace that leaves room for requests.
//
// A handler runs at least once for an event that becomes due, as a reaction's does, and may run in
// several replicas at once. The command that it decides on takes effect once. Since rows may be
// late, the decision must check that the event still matters. A failure is tried again and ends
// in a dead letter as that of a reaction does.
type Timer struct {
	// Name is part of the ids of commands and of dead letters, so it must never change. It begins
	// with the service's name and a dash. Where streams.yaml has a consumer of this name on a stream
	// of timers.>, the same handlers react to the reminders that earlier versions set there.
	Name   string
	Stream string           // of the events
	View   *projection.View // one of Service.Views
	// Pending is SQL that selects from the view, for each event that is still to be reacted to,
	// when it is due (in microseconds since 1970) and its number (eventlog.Record.Number). The rows are in this order;
	// they come after the pair of the parameters ?1 and ?2, and there are at most ?3 of them. It
	// is asked often, so it needs an index:
	//
	//	SELECT due, sequence FROM payments WHERE status = 'pending' AND (due, sequence) > (?1, ?2)
	//	ORDER BY due, sequence LIMIT ?3
	Pending  string
	Handlers []Handler
	// SetBy is the shared consumer of Stream with which the version before set reminders for Name; ""
	// if it set none. Its replicas may go on with that beside this version's, and when somebody
	// goes back to it: the service keeps the permissions, and does not use the consumer itself.
	SetBy string
}

// EventNames returns the names of the events that the timer is for, each once.
func (t Timer) EventNames() []string { return t.reaction().EventNames() }

// permissions returns what the timer requires on NATS, besides what its handlers do.
func (t *Timer) permissions() natsauth.Permissions {
	p := natsauth.AllowGet(t.Stream)
	p.Add(bus.PermissionsToDeadLetter(t.Name, t.Stream))
	if t.SetBy != "" {
		set, _ := ReminderSubjects(t.Name, "*")
		p.Add(natsauth.AllowConsume(t.Stream, t.SetBy), bus.PermissionsToDeadLetter(t.SetBy, t.Stream), natsauth.AllowPublish(set))
	}
	return p
}

// reaction returns what handles the timer's events. Its name makes the ids of commands.
func (t *Timer) reaction() Reaction { return Reaction{Consumer: t.Name, Handlers: t.Handlers} }

// reactions returns what the service reacts to, at once or later, in itself or outside.
func (s *Service) reactions() []Reaction {
	all := slices.Clone(s.Reactions)
	for i := range s.Timers {
		all = append(all, s.Timers[i].reaction())
	}
	for i := range s.Effects {
		all = append(all, s.Effects[i].timer().reaction())
	}
	return all
}

// delivered returns the reactions to which a shared consumer delivers. Those include a timer
// that has reminders of earlier versions.
func (s *Service) delivered(config *streams.Config) []Reaction {
	return slices.DeleteFunc(s.reactions(), func(r Reaction) bool { return !config.HasConsumer(r.Consumer) && s.hasClock(r.Consumer) })
}

// hasClock reports whether there is a timer or an effect of a name.
func (s *Service) hasClock(name string) bool {
	return slices.ContainsFunc(s.Timers, func(t Timer) bool { return t.Name == name }) ||
		slices.ContainsFunc(s.Effects, func(e Effect) bool { return e.Name == name })
}

// dueEvent is a row of Timer.Pending.
type dueEvent struct {
	at     int64  // in microseconds since 1970
	number uint64 // see eventlog.Record
}

func (e dueEvent) time() time.Time { return time.UnixMicro(e.at) }

func (e dueEvent) after(o dueEvent) bool {
	return e.at > o.at || e.at == o.at && e.number > o.number
}

// pending returns the timer's rows after one, at most limit of them.
func (t *Timer) pending(ctx context.Context, after dueEvent, limit int) (rows []dueEvent, err error) {
	err = t.View.Each(ctx, t.Pending, []any{after.at, int64(after.number), limit}, func(scan func(...any) error) error {
		var e dueEvent
		if err := scan(&e.at, &e.number); err != nil {
			return err
		}
		rows = append(rows, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("timer %s: %w", t.Name, err)
	}
	return rows, nil
}

// isPending reports whether the rows still have an event.
func (t *Timer) isPending(ctx context.Context, e dueEvent) (bool, error) {
	rows, err := t.pending(ctx, dueEvent{e.at, e.number - 1}, 1)
	return len(rows) == 1 && rows[0] == e, err
}
