package identity

import (
	"context"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lonja/events"
	"lonja/events/claims"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
)

func (i *identity) findUser(ctx context.Context, q query.User, actor eventlog.Actor) (any, error) {
	if err := loggedIn(actor); err != nil {
		return nil, err
	}
	if err := events.Token("user_id", q.UserID); err != nil {
		return nil, err
	}
	if actor.ID != string(q.UserID) {
		if err := i.mustBeAdmin(ctx, actor, noSuchUser(q.UserID)); err != nil {
			return nil, err
		}
	}
	var body []byte
	found, err := i.accountsView.Get(ctx, `SELECT body FROM users WHERE id = ?`, []any{string(q.UserID)}, &body)
	if err == nil && !found {
		err = noSuchUser(q.UserID)
	}
	return body, err
}

func (i *identity) listUsers(ctx context.Context, q query.Users, actor eventlog.Actor) (any, error) {
	if err := loggedIn(actor); err != nil {
		return nil, err
	}
	if err := i.mustBeAdmin(ctx, actor, onlyAdmins()); err != nil {
		return nil, err
	}
	page, from, args := q.Page.Normal(), "users", []any{}
	if q.Email != "" {
		from, args = "users WHERE email = ?", []any{command.EmailKeys(q.Email)[0]}
	}
	var total int
	if _, err := i.accountsView.Get(ctx, "SELECT count(*) FROM "+from, args, &total); err != nil {
		return nil, err
	}
	users, err := service.JSONRows(ctx, i.accountsView, "SELECT body FROM "+from+" ORDER BY number LIMIT ? OFFSET ?", append(args, page.Limit, page.Offset())...)
	return query.NewList(users, total, page), err
}

// listKeys waits until the view has the key that this replica signs with: no token must be
// in use before the key that verifies it is published.
func (i *identity) listKeys(ctx context.Context, _ query.Keys, _ eventlog.Actor) (any, error) {
	if err := i.accountsView.Await(ctx, i.keysAt); err != nil {
		return nil, err
	}
	keys, err := service.JSONRows(ctx, i.accountsView, "SELECT body FROM keys ORDER BY number")
	return map[string]any{"keys": keys}, err // the JSON of a query.Keyset
}

// mustBeAdmin returns an error, the one given as otherwise, unless the actor is an
// administrator now. It reads the log and not the token, which may be older.
func (i *identity) mustBeAdmin(ctx context.Context, actor eventlog.Actor, otherwise error) error {
	u, err := i.loadActor(ctx, actor)
	if err == nil && !u.hasRole(events.Admin) {
		err = otherwise
	}
	return err
}

// ticketLife is how long a ticket opens a stream. A ticket is part of a URL, which is seen
// by more parties than a header, so it is short.
const ticketLife = time.Minute

// signTicket returns a ticket for the actor. It is signed like an access token, so every
// gateway can verify it and no state is kept.
func (i *identity) signTicket(_ context.Context, q query.StreamTicket, actor eventlog.Actor) (any, error) {
	if err := events.FirstOf(loggedIn(actor), events.Token("order_id", q.OrderID), events.CheckRoles(actor.Roles)); err != nil {
		return nil, err
	}
	now := time.Now()
	ticket, err := i.issuer.sign(claims.Ticket{
		Access: claims.Access{Roles: actor.Roles, Position: actor.TokenPosition, RegisteredClaims: jwt.RegisteredClaims{
			Issuer: claims.TicketIssuer, Subject: actor.ID, ExpiresAt: jwt.NewNumericDate(now.Add(ticketLife)),
		}},
		Order: q.OrderID,
		Until: min(q.Until, now.Add(accessLife).Unix()),
	})
	return query.Ticket{Ticket: ticket, ExpiresIn: int64(ticketLife / time.Second)}, err
}

func loggedIn(actor eventlog.Actor) error {
	if actor.ID == "" {
		return errs.New(errs.Unauthenticated, "log in first")
	}
	return nil
}
