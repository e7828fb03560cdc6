package identity

import (
	"context"
	"encoding/json"
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
	if err := i.maySee(ctx, q.UserID, actor); err != nil {
		return nil, err
	}
	var body []byte
	found, err := i.accountsView.Get(ctx, `SELECT body FROM users WHERE id = ?`, []any{string(q.UserID)}, &body)
	if err == nil && !found {
		err = noSuchUser(q.UserID)
	}
	return body, err
}

// exportUser returns all that is kept on a person here: what the view holds, and the history
// of the log.
func (i *identity) exportUser(ctx context.Context, q query.UserExport, actor eventlog.Actor) (any, error) {
	if err := i.maySee(ctx, q.UserID, actor); err != nil {
		return nil, err
	}
	id := []any{string(q.UserID)}
	var body []byte
	var registered int64
	found, err := i.accountsView.Get(ctx, `SELECT body, registered_at FROM users WHERE id = ?`, id, &body, &registered)
	if err == nil && !found {
		err = noSuchUser(q.UserID)
	}
	if err != nil {
		return nil, err
	}
	export := query.UserExportView{RegisteredAt: time.UnixMicro(registered).UTC(), Sessions: []query.SessionView{}}
	if err := json.Unmarshal(body, &export.User); err != nil {
		return nil, err
	}
	err = i.accountsView.Each(ctx, `SELECT id, started_at, used_at, expires_at, ended_at FROM sessions WHERE user_id = ? ORDER BY started_at, id`, id,
		func(scan func(...any) error) error {
			var s query.SessionView
			var started, used, expires int64
			var ended *int64
			if err := scan(&s.ID, &started, &used, &expires, &ended); err != nil {
				return err
			}
			s.StartedAt, s.LastUsedAt, s.ExpiresAt = time.UnixMicro(started).UTC(), time.UnixMicro(used).UTC(), time.UnixMicro(expires).UTC()
			if ended != nil {
				at := time.UnixMicro(*ended).UTC()
				s.EndedAt = &at
			}
			export.Sessions = append(export.Sessions, s)
			return nil
		})
	if err == nil {
		export.History, err = i.history(ctx, q.UserID)
	}
	return export, err
}

// maySee returns an error unless the actor is the user, or an administrator.
func (i *identity) maySee(ctx context.Context, id events.UserID, actor eventlog.Actor) error {
	if err := events.FirstOf(loggedIn(actor), events.Token("user_id", id)); err != nil {
		return err
	}
	if actor.ID == string(id) {
		return nil
	}
	return i.mustBeAdmin(ctx, actor, noSuchUser(id))
}

func (i *identity) listUsers(ctx context.Context, q query.Users, actor eventlog.Actor) (any, error) {
	if err := loggedIn(actor); err != nil {
		return nil, err
	}
	if err := i.mustBeAdmin(ctx, actor, onlyAdmins()); err != nil {
		return nil, err
	}
	where, args, key := "number > ?", []any{int64(0)}, ""
	if q.Email != "" {
		key = command.EmailKeys(q.Email)[0]
		where, args = where+" AND email = ?", append(args, key)
	}
	page, err := query.SectionOf[int64](q.Page, "identity.users", key)
	if err != nil {
		return nil, err
	}
	var total int
	if _, err := i.accountsView.Get(ctx, "SELECT count(*) FROM (SELECT 1 FROM users WHERE "+where+" LIMIT ?)", append(args, query.CountAtMost), &total); err != nil {
		return nil, err
	}
	if page.Begins != nil {
		args[0] = *page.Begins
	}
	users, err := service.ListRows(ctx, i.accountsView, page.Limit, "SELECT number, body FROM users WHERE "+where+" ORDER BY number LIMIT ? OFFSET ?",
		append(args, page.Limit+1, page.Offset), func(number *int64) []any { return []any{number} })
	return query.NewList(users.JSON, total, page, page.Next(users.Last, users.More)), err
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
func (i *identity) signTicket(ctx context.Context, q query.StreamTicket, actor eventlog.Actor) (any, error) {
	if err := events.FirstOf(loggedIn(actor), events.Token("order_id", q.OrderID), events.CheckRoles(actor.Roles)); err != nil {
		return nil, err
	}
	signer, err := i.signing(ctx)
	if err != nil {
		return nil, err
	}
	now := i.clock()
	ticket, err := signer.sign(claims.Ticket{
		Access: claims.Access{Roles: actor.Roles, Position: actor.TokenPosition, Session: events.SessionID(actor.Session), RegisteredClaims: jwt.RegisteredClaims{
			Issuer: claims.TicketIssuer, Subject: actor.ID, ExpiresAt: jwt.NewNumericDate(now.Add(ticketLife)),
		}},
		Order: q.OrderID,
		Until: min(q.Until, now.Add(accessLife).Unix()),
	}, now)
	return query.Ticket{Ticket: ticket, ExpiresIn: int64(ticketLife / time.Second)}, err
}

func loggedIn(actor eventlog.Actor) error {
	if actor.ID == "" {
		return errs.New(errs.Unauthenticated, "log in first")
	}
	return nil
}
