package decider

import (
	"context"
	"fmt"
	"time"

	"lonja/kit/eventlog"
)

// CommandTable remembers which events commands have caused, also long ago. A *projection.View
// whose definition remembers Commands is one.
type CommandTable interface {
	// CommandEvent returns the sequence of the event of an entity that the command with an id
	// caused, 0 if the table has none. Through is the sequence up to which the table holds what is
	// recorded on the entity's stream. CommandEvent may wait until that is at least least, but no longer than ctx.
	CommandEvent(ctx context.Context, stream, entity, commandID string, least uint64) (event, through uint64, err error)
}

// RememberIn names the table that is asked about commands whose events are no longer in an
// entity's window. Without it, and while the table cannot answer, the log is read instead, once
// for each entity with so many events. Call it before the decider is used. It returns the decider.
func (d *Decider[S]) RememberIn(t CommandTable) *Decider[S] {
	d.commands = t
	return d
}

// NeedsLookup is the error of a decision that needs to know more than the state: what was looked
// up for it must include the entity's events up to the sequence Through. Decide returns it at once.
type NeedsLookup struct{ Through uint64 }

func (e *NeedsLookup) Error() string {
	return fmt.Sprintf("the decision needs to know what was recorded up to %d", e.Through)
}

// maxLookups is how many times a decision is repeated because the entity's window has moved past
// what was looked up. The window is so large that this hardly happens once.
const maxLookups = 5

// tableWait is how long a table that lags is waited for, before the log is read instead.
const tableWait = 250 * time.Millisecond

// pasts are an entity's past by command. What the table has to know is kept apart from the rest,
// since it can be forgotten as soon as the table answers.
type pasts struct{ inTable, others *Past }

// olderCommand is what was looked up about a command. The zero value says nothing.
type olderCommand struct{ event, through uint64 }

// askOlder is the error of an attempt that must know what the window does not hold any more.
type askOlder struct {
	past   *Past
	stream string
	table  CommandTable // nil if no table can know the command
	least  uint64       // what the window does not hold
	held   uint64       // the window holds what comes after least, up to here; the command is not there
}

func (*askOlder) Error() string { return "older commands must be looked up" }

// recorded returns the sequence of the command's own event, if there is one. The error is
// askOlder if that is not known.
func (a *attempt[S]) recorded() (seq uint64, found bool, err error) {
	if a.gone {
		return 0, false, nil
	}
	if seq, found = a.e.commands.find(keyOf(a.command.ID)); found {
		return seq, true, nil
	}
	switch floor := a.e.commands.floor; {
	case a.older.event != 0:
		return a.older.event, true, nil
	case a.older.through >= floor, a.command.Idempotent:
		return 0, false, nil
	default:
		ask := a.d.askOlder(a.e, a.command)
		ask.least, ask.held = floor, a.e.sequence
		return 0, false, ask
	}
}

// askOlder returns whom to ask about a command. The caller has acquired the entity.
func (d *Decider[S]) askOlder(e *entity[S], c Command) *askOlder {
	past, table := &e.pasts.others, CommandTable(nil)
	isCommand := c.RequestHash != ""
	if isCommand && d.commands != nil {
		past, table = &e.pasts.inTable, d.commands
	}
	if *past == nil {
		*past = d.Past(e.id, func(r eventlog.Record) string {
			if d.commands != nil && isCommand != (r.RequestHash != "") {
				return ""
			}
			return r.Causation
		})
	}
	return &askOlder{past: *past, stream: e.stream, table: table}
}

// find looks a command up, in the table or in the log.
func (ask *askOlder) find(ctx context.Context, entity, commandID string) (olderCommand, error) {
	var inRows olderCommand
	if ask.table != nil {
		wait := tableWait
		if ask.past.Active() {
			wait = 0
		}
		waiting, cancel := context.WithTimeout(ctx, wait)
		event, through, err := ask.table.CommandEvent(waiting, ask.stream, entity, commandID, ask.least)
		cancel()
		if err == nil {
			inRows = olderCommand{event, through}
		}
		if inRows.through >= ask.least {
			ask.past.Forget(inRows.through)
			return olderCommand{inRows.event, max(inRows.through, ask.held)}, nil
		}
	}
	event, through, err := ask.past.Find(ctx, commandID, inRows.through, ask.least)
	if event == 0 {
		event = inRows.event
	}
	return olderCommand{event, max(through, ask.held)}, err
}
