package identity

import (
	"slices"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/internal/decider"
)

// user is the state that decisions about an account are made on. Without an id
// there is none.
type user struct {
	query.UserView
	passwordHash string
}

var userKind = decider.Kind[user]{Name: "user", Stream: "IDENTITY", Evolve: evolveUser}

func evolveUser(u user, fact events.Event, _ time.Time) user {
	switch e := fact.(type) {
	case events.UserRegistered:
		u.UserView = query.UserView{ID: e.UserID, Name: e.Name, Email: e.Email, Roles: e.Roles}
		u.passwordHash = e.PasswordHash
	case events.UserRolesChanged:
		u.Roles = e.Roles
	}
	return u
}

func (u user) known() bool { return u.ID != "" }

// show is an account as every answer shows it.
func show(u user, _ events.Event) any {
	u.Roles = slices.Clone(u.Roles)
	return u.UserView
}
