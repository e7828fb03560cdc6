package identity

import (
	"slices"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
)

// user is the state that decisions about an account are made on. Without an id
// there is none.
type user struct {
	query.UserView
	passwordHash string
	passwordAt   uint64 // where in the log the password was chosen
}

var userKind = decider.EntityType[user]{Subject: "events.user", Stream: "IDENTITY", EvolveRecord: evolveUser}

func evolveUser(u user, r eventlog.Record) user {
	switch e := r.Event.(type) {
	case events.UserRegistered:
		u.UserView = query.UserView{ID: e.UserID, Name: e.Name, Email: e.Email, Roles: e.Roles}
		u.passwordHash, u.passwordAt = e.PasswordHash, r.Sequence
	case events.UserPasswordChanged:
		u.passwordHash, u.passwordAt = e.PasswordHash, r.Sequence
	case events.UserRolesChanged:
		u.Roles = e.Roles
	}
	return u
}

func (u user) known() bool { return u.ID != "" }

// is reports whether the user has a role.
func (u user) is(role string) bool { return slices.Contains(u.Roles, role) }

// show is an account as every answer shows it.
func show(u user, _ events.Event) any {
	u.Roles = slices.Clone(u.Roles)
	return u.UserView
}
