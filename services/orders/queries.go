package orders

import (
	"context"
	"slices"
	"strings"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/kit/service"
)

const (
	// longest bounds how long a query may wait for something to happen.
	longest  = 30 * time.Second
	patience = longest + 5*time.Second
)

// shown is an order o with its payment p as a query.OrderView, put together
// out of what is JSON already. Its argument is the origin for payment URLs.
const shown = `'{"id":"' || o.id || '","status":"' || o.status || '","customer_id":"' || o.customer || '",' || o.goods
	|| ',"payment":' || ifnull('{"id":"' || p.id || '","provider":' || p.provider || ',"status":"' || p.status || '","amount":' || p.amount
		|| ',"url":"' || iif(p.is_path, ?, '') || p.url || '"}', 'null')
	|| iif(o.cancel_reason = '', '', ',"cancel_reason":' || o.cancel_reason)
	|| ',"created_at":"' || o.created || '","updated_at":"' || o.updated || '"}'`

// reader is the argument that narrows orders down to those that an actor may
// see: their own, or nil for all.
func reader(a eventlog.Actor) any {
	if a.HasRole(events.StaffRoles...) {
		return nil
	}
	return a.ID
}

func findOrder(book *projection.View) func(context.Context, query.Order, eventlog.Actor) (any, error) {
	const one = `SELECT o.status, p.id IS NOT NULL, ` + shown + ` FROM orders o LEFT JOIN payments p ON p.order_id = o.id
		WHERE o.id = ? AND o.customer = ifnull(?, o.customer)`
	return func(ctx context.Context, q query.Order, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(signedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		var status string
		var payable bool
		var body []byte
		args := []any{unquoted(q.Origin), string(q.OrderID), reader(a)}
		err := wait(ctx, book, q.OrderID, q.Await, func() (bool, error) {
			found, err := book.Get(ctx, one, args, &status, &payable, &body)
			return found && query.Settled(status, payable), err
		})
		if err == nil && body == nil {
			err = noSuchOrder(q.OrderID)
		}
		return body, err
	}
}

var statuses = []string{query.Placed, query.AwaitingPayment, query.Paid, query.Shipped, query.Delivered, query.Cancelled}

func listOrders(book *projection.View) func(context.Context, query.Orders, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.Orders, a eventlog.Actor) (any, error) {
		if err := signedIn(a); err != nil {
			return nil, err
		}
		page := q.Page.Normal()
		where, args := "WHERE true", []any{}
		if !a.HasRole(events.StaffRoles...) {
			where, args = where+" AND o.customer = ?", append(args, a.ID)
		}
		if q.Status != "" {
			if !slices.Contains(statuses, q.Status) {
				return nil, errs.InvalidField("status", "must be one of %s", strings.Join(statuses, ", "))
			}
			where, args = where+" AND o.status = ?", append(args, q.Status)
		}
		var total int
		if _, err := book.Get(ctx, "SELECT count(*) FROM orders o "+where, args, &total); err != nil {
			return nil, err
		}
		args = append(append([]any{unquoted(q.Origin)}, args...), page.Limit, page.Offset())
		orders, err := service.JSONRows(ctx, book, "SELECT "+shown+" FROM orders o LEFT JOIN payments p ON p.order_id = o.id "+
			where+" ORDER BY o.placed DESC LIMIT ? OFFSET ?", args...)
		return query.NewList(orders, total, page), err
	}
}

// wait tries until it is done or so many milliseconds have passed, whenever the
// book has something new of the order. It tries once at least, and goes no longer
// than longest. Gateways wait by themselves; this is for those of older versions,
// and for whoever asks over NATS.
func wait(ctx context.Context, book *projection.View, id events.OrderID, ms int64, try func() (done bool, err error)) error {
	if ms <= 0 {
		_, err := try()
		return err
	}
	if err := service.ReleaseSlot(ctx); err != nil {
		return err
	}
	over := time.After(time.Duration(min(ms, longest.Milliseconds())) * time.Millisecond)
	for {
		touched, release := book.Watch(string(id))
		done, err := try()
		if done || err != nil {
			release()
			return err
		}
		select {
		case <-touched:
		case <-over:
			done = true
		case <-service.Stopping(ctx):
			done = true
		case <-ctx.Done():
			done, err = true, ctx.Err()
		}
		if release(); done {
			return err
		}
	}
}
