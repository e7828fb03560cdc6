package identity

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
)

// moment is one event of a person, with its place in the log.
type moment struct {
	sequence uint64
	query.AccountEvent
}

// history returns what was recorded about a user, oldest first. It reads the log, since views
// hold only what is true now: the events of the user, and those of the addresses that they
// had, which others may have had before or after them. The error is NotFound when the user was
// erased meanwhile, and otherwise that of Decider.History.
func (i *identity) history(ctx context.Context, id events.UserID) ([]query.AccountEvent, error) {
	var found []moment
	gone, entities := false, []events.UserID{id}
	for n := 0; n < len(entities); n++ { // the user's own events name the addresses
		err := i.users.History(ctx, string(entities[n]), func(r eventlog.Record) {
			who, happened, address := momentOf(r)
			if who != id {
				return
			}
			_, erased := r.Event.(events.UserErased)
			gone = gone || erased || withheld(r.Event)
			found = append(found, moment{r.Sequence, happened})
			if address != "" && !slices.Contains(entities, address) {
				entities = append(entities, address)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if gone {
		return nil, noSuchUser(id)
	}
	slices.SortFunc(found, func(a, b moment) int { return cmp.Compare(a.sequence, b.sequence) })
	all := make([]query.AccountEvent, len(found))
	for n, m := range found {
		all[n] = m.AccountEvent
	}
	return all, nil
}

// momentOf returns whom an event of a user or an address is about, what it says of them, and
// the entity of an address that they got, if there is one. Hashes of passwords are left out.
func momentOf(r eventlog.Record) (who events.UserID, happened query.AccountEvent, address events.UserID) {
	name := r.Event.EventName()
	happened = query.AccountEvent{At: r.Time, Event: name[:strings.LastIndex(name, ".v")]}
	switch e := r.Event.(type) {
	case events.UserEmailClaimed:
		who, happened.Name, happened.Email, happened.Roles = e.UserID, e.Name, e.Email, e.Roles
	case events.UserRegistered:
		who, address, happened.Name, happened.Email, happened.Roles = e.UserID, e.EmailID, e.Name, e.Email, e.Roles
	case events.UserSealed:
		who, happened.Name, happened.Email = e.UserID, e.Name, e.Email
	case events.UserProfileChanged:
		who, happened.Name, happened.Locale = e.UserID, e.Name, e.Locale
	case events.UserEmailChanged:
		who, address, happened.Email = e.UserID, e.EmailID, e.Email
	case events.UserRolesChanged:
		who, happened.Roles = e.UserID, e.Roles
	case events.UserPasswordChanged:
		who = e.UserID
	case events.UserEmailReleased:
		who = e.UserID
	case events.UserErased:
		who = e.UserID
	}
	return who, happened, address
}
