package identity

import (
	"slices"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

func register(u user, _ command.RegisterUser, a account, m decider.Meta) (events.Event, error) {
	if u.exists() {
		return nil, errs.New(errs.Conflict, "an account with this email address already exists")
	}
	return a.registered(m, events.Customer), nil
}

// registerAdmin registers the first administrator, once.
func registerAdmin(u user, a account, m decider.Meta) (events.Event, error) {
	if u.exists() {
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
	case !acting.hasRole(events.Admin):
		return nil, onlyAdmins()
	case !u.exists():
		return nil, noSuchUser(c.UserID)
	case acting.ID == u.ID && !slices.Contains(roles, events.Admin):
		return nil, errs.New(errs.Conflict, "you cannot remove your own role of an administrator; another administrator can")
	case slices.Equal(roles, u.Roles):
		return nil, nil
	}
	return events.UserRolesChanged{UserID: u.ID, Roles: roles}, nil
}

// resetPassword records an event also when the password is the same as before, since it is
// also how an operator ends all sessions of an account.
func resetPassword(u user, _ command.ResetPassword, hash newHash, _ decider.Meta) (events.Event, error) {
	if !u.exists() {
		return nil, errs.New(errs.NotFound, "there is no such account")
	}
	return events.UserPasswordChanged{UserID: u.ID, PasswordHash: string(hash)}, nil
}

func logIn(_ session, _ command.LogIn, u authenticated, m decider.Meta) (events.Event, error) {
	id := events.SessionID(m.EntityID)
	return events.SessionStarted{
		SessionID: id, UserID: u.user.ID,
		TokenHash: hashToken(u.issuer.formatRefreshToken(refreshToken{id, 0})),
		ExpiresAt: m.Now.Add(sessionLife),
	}, nil
}

func refresh(s session, c command.RefreshSession, r renewal, m decider.Meta) (events.Event, error) {
	switch {
	case s.id == "" || s.over(m.Now) || s.outlived(r.user):
		return nil, invalidToken()
	case r.token.n == s.rotations-1 && m.Now.Sub(s.changed).Abs() <= repeatable:
		// The answer was lost, or two requests were sent at once: the same successor again.
		return nil, nil
	case r.token.n < s.rotations:
		// The token was used before, so two parties hold it.
		return events.SessionEnded{SessionID: s.id, UserID: s.user, Reason: events.EndedByReuse}, nil
	case hashToken(c.RefreshToken) != s.tokenHash:
		return nil, invalidToken()
	}
	next := r.issuer.formatRefreshToken(refreshToken{s.id, s.rotations + 1})
	return events.SessionRotated{SessionID: s.id, UserID: s.user, TokenHash: hashToken(next)}, nil
}

func logOut(s session, _ command.LogOut, _ struct{}, m decider.Meta) (events.Event, error) {
	switch {
	case s.id == "":
		return nil, invalidToken()
	case s.over(m.Now):
		return nil, nil
	}
	return events.SessionEnded{SessionID: s.id, UserID: s.user, Reason: events.EndedByLogout}, nil
}

// open creates the issuer, once.
func open(iss issuer, secret []byte) (events.Event, error) {
	if iss.secret != nil {
		return nil, nil
	}
	return events.RealmOpened{Secret: secret}, nil
}

func addFirstKey(iss issuer, seed []byte) (events.Event, error) {
	if len(iss.keys) > 0 {
		return nil, nil
	}
	return events.RealmKeyAdded{KeyID: keyID(seed), Seed: seed}, nil
}

// appoint makes a user the first administrator in place of previous, who was appointed but
// never registered; "" is nobody. It does nothing when somebody else was appointed meanwhile.
func appoint(iss issuer, id, previous events.UserID) (events.Event, error) {
	if iss.admin == id || iss.admin != previous {
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
