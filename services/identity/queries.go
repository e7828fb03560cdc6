package identity

import (
	"context"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
)

func (i *identity) findUser(ctx context.Context, q query.User, who eventlog.Actor) (any, error) {
	if err := loggedIn(who); err != nil {
		return nil, err
	}
	if err := events.Token("user_id", q.UserID); err != nil {
		return nil, err
	}
	if who.ID != string(q.UserID) {
		if err := i.mustBeAdmin(ctx, who, noSuchUser(q.UserID)); err != nil {
			return nil, err
		}
	}
	var body []byte
	found, err := i.accounts.Get(ctx, `SELECT body FROM users WHERE id = ?`, []any{string(q.UserID)}, &body)
	if err == nil && !found {
		err = noSuchUser(q.UserID)
	}
	return body, err
}

func (i *identity) listUsers(ctx context.Context, q query.Users, who eventlog.Actor) (any, error) {
	if err := loggedIn(who); err != nil {
		return nil, err
	}
	if err := i.mustBeAdmin(ctx, who, onlyAdmins()); err != nil {
		return nil, err
	}
	page, from, args := q.Page.Normal(), "users", []any{}
	if q.Email != "" {
		from, args = "users WHERE email = ?", []any{command.EmailKeys(q.Email)[0]}
	}
	var total int
	if _, err := i.accounts.Get(ctx, "SELECT count(*) FROM "+from, args, &total); err != nil {
		return nil, err
	}
	users, err := service.JSONRows(ctx, i.accounts, "SELECT body FROM "+from+" ORDER BY number LIMIT ? OFFSET ?", append(args, page.Limit, page.Offset())...)
	return query.NewList(users, total, page), err
}

// listKeys waits until the view has the key that this replica signs with: a
// token must not be out before the key that it is verified with.
func (i *identity) listKeys(ctx context.Context, _ query.Keys, _ eventlog.Actor) (any, error) {
	if err := i.accounts.Await(ctx, i.keysAt); err != nil {
		return nil, err
	}
	keys, err := service.JSONRows(ctx, i.accounts, "SELECT body FROM keys ORDER BY number")
	return map[string]any{"keys": keys}, err // a query.Keyset
}

// mustBeAdmin refuses as said whoever is no administrator, by the log and not by
// what their token says.
func (i *identity) mustBeAdmin(ctx context.Context, who eventlog.Actor, otherwise error) error {
	u, err := i.actor(ctx, who)
	if err == nil && !u.is(events.Admin) {
		err = otherwise
	}
	return err
}

func loggedIn(who eventlog.Actor) error {
	if who.ID == "" {
		return errs.New(errs.Unauthenticated, "log in first")
	}
	return nil
}
