package identity

import (
	"slices"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
)

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
		return nil, noSuchAccount()
	}
	return events.UserPasswordChanged{UserID: u.ID, PasswordHash: string(hash)}, nil
}

func changeProfile(u user, c command.ChangeProfile, _ profileChange, _ decider.Meta) (events.Event, error) {
	if !u.exists() {
		return nil, noSuchUser(c.UserID)
	}
	changed := events.UserProfileChanged{UserID: u.ID, Name: u.Name, Locale: u.Locale}
	if c.Name != nil {
		changed.Name = *c.Name
	}
	if c.Locale != nil {
		changed.Locale = *c.Locale
	}
	if changed.Name == u.Name && changed.Locale == u.Locale {
		return nil, nil
	}
	return changed, nil
}

func erase(u user, c command.EraseUser, by erasure, _ decider.Meta) (events.Event, error) {
	switch {
	case !u.exists():
		return nil, noSuchUser(c.UserID)
	case by.self && u.hasRole(events.Admin):
		return nil, errs.New(errs.Conflict, "you are an administrator and cannot erase your own account; another administrator can")
	}
	return events.UserErased{UserID: u.ID, EmailID: u.emailID}, nil
}

// seal records an account again that an earlier version recorded in plain text.
func seal(u user, c command.SealUser, _ decider.Meta) (events.Event, error) {
	switch {
	case !u.exists():
		return nil, noSuchUser(c.UserID)
	case !u.plain:
		return nil, nil
	}
	return events.UserSealed{UserID: u.ID, Name: u.Name, Email: u.Email, PasswordHash: u.passwordHash}, nil
}

func logIn(_ session, _ command.LogIn, u authenticated, m decider.Meta) (events.Event, error) {
	id := events.SessionID(m.EntityID)
	hash, expires := hashToken(u.issuer.formatRefreshToken(refreshToken{id, 0})), m.Now.Add(sessionLife)
	if isFormer(id) {
		return events.SessionStarted{SessionID: id, UserID: u.user.ID, TokenHash: hash, ExpiresAt: expires}, nil
	}
	return events.LoginStarted{Login: events.Login{SessionID: id, UserID: u.user.ID, TokenHash: hash,
		StartedAt: m.Now, ExpiresAt: expires, Position: u.position, PasswordAt: u.user.passwordAt}}, nil
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
		return s.end(events.EndedByReuse), nil
	case hashToken(c.RefreshToken) != s.tokenHash:
		return nil, invalidToken()
	}
	next := r.issuer.formatRefreshToken(refreshToken{s.id, s.rotations + 1})
	return s.refreshed(hashToken(next), r.position), nil
}

func logOut(s session, _ command.LogOut, _ struct{}, m decider.Meta) (events.Event, error) {
	switch {
	case s.id == "":
		return nil, invalidToken()
	case s.over(m.Now):
		return nil, nil
	}
	return s.end(events.EndedByLogout), nil
}

// open creates the issuer, once.
func open(iss issuer, secret []byte) (events.Event, error) {
	if iss.opened {
		return nil, nil
	}
	return events.RealmOpened{Secret: secret}, nil
}

func addFirstKey(iss issuer, seed []byte, now time.Time) (events.Event, error) {
	if len(iss.keys) > 0 {
		return nil, nil
	}
	return newKey(seed, now), nil
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

func noSuchAccount() error { return errs.New(errs.NotFound, "there is no such account") }

func noSuchUser(id events.UserID) error {
	return errs.New(errs.NotFound, "there is no user %s", id)
}
