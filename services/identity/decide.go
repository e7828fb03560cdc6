package identity

import (
	"slices"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

func register(u user, _ command.RegisterUser, a account, m decider.Meta) (events.Event, error) {
	if u.known() {
		return nil, errs.New(errs.Conflict, "there is an account with this address already")
	}
	return a.registered(m, events.Customer), nil
}

// enrolAdmin registers the first administrator, once.
func enrolAdmin(u user, a account, m decider.Meta) (events.Event, error) {
	if u.known() {
		return nil, nil
	}
	return a.registered(m, events.Admin, events.Customer, events.Staff), nil
}

func (a account) registered(m decider.Meta, roles ...string) events.Event {
	return events.UserRegistered{
		UserID: events.UserID(m.EntityID), Name: a.name, Email: a.email, PasswordHash: a.passwordHash, Roles: roles,
	}
}

func setRoles(u user, c command.SetRoles, acting user, _ decider.Meta) (events.Event, error) {
	roles := slices.Compact(slices.Sorted(slices.Values(c.Roles)))
	switch {
	case !acting.is(events.Admin):
		return nil, onlyAdmins()
	case !u.known():
		return nil, noSuchUser(c.UserID)
	case acting.ID == u.ID && !slices.Contains(roles, events.Admin):
		return nil, errs.New(errs.Conflict, "you cannot take the role of an administrator from yourself; another one can")
	case slices.Equal(roles, u.Roles):
		return nil, nil
	}
	return events.UserRolesChanged{UserID: u.ID, Roles: roles}, nil
}

func logIn(_ session, _ command.LogIn, p provenUser, m decider.Meta) (events.Event, error) {
	id := events.SessionID(m.EntityID)
	return events.SessionStarted{
		SessionID: id, UserID: p.user.ID,
		TokenHash: hashOf(p.realm.write(refreshToken{id, 0})),
		ExpiresAt: m.Now.Add(sessionLife),
	}, nil
}

func refresh(s session, c command.RefreshSession, r renewal, m decider.Meta) (events.Event, error) {
	switch {
	case s.id == "" || s.over(m.Now) || s.outlived(r.user):
		return nil, badToken()
	case r.token.n == s.rotations-1 && m.Now.Sub(s.moved).Abs() <= repeatable:
		// Its answer was lost, or two were sent at once: the same successor again.
		return nil, nil
	case r.token.n < s.rotations:
		// It was used before: its holder now and its holder then are not the same.
		return events.SessionEnded{SessionID: s.id, UserID: s.user, Reason: events.EndedByReuse}, nil
	case hashOf(c.RefreshToken) != s.tokenHash:
		return nil, badToken()
	}
	next := r.realm.write(refreshToken{s.id, s.rotations + 1})
	return events.SessionRotated{SessionID: s.id, UserID: s.user, TokenHash: hashOf(next)}, nil
}

func logOut(s session, _ command.LogOut, _ struct{}, m decider.Meta) (events.Event, error) {
	switch {
	case s.id == "":
		return nil, badToken()
	case s.over(m.Now):
		return nil, nil
	}
	return events.SessionEnded{SessionID: s.id, UserID: s.user, Reason: events.EndedByLogout}, nil
}

func open(r realm, secret []byte) (events.Event, error) {
	if r.secret != nil {
		return nil, nil
	}
	return events.RealmOpened{Secret: secret}, nil
}

func addFirstKey(r realm, seed []byte) (events.Event, error) {
	if len(r.keys) > 0 {
		return nil, nil
	}
	return events.RealmKeyAdded{KeyID: keyID(seed), Seed: seed}, nil
}

// appoint makes somebody the first administrator in the place of was, who was
// appointed but never registered, or of nobody.
func appoint(r realm, id, was events.UserID) (events.Event, error) {
	if r.admin == id || r.admin != was {
		return nil, nil
	}
	return events.RealmAdminAppointed{UserID: id}, nil
}

func onlyAdmins() error {
	return errs.New(errs.Forbidden, "only administrators may do this")
}

func noSuchUser(id events.UserID) error {
	return errs.New(errs.NotFound, "there is no user %s", id)
}
