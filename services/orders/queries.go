package orders

import (
	"context"
	"encoding/json"
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
	// maxWait bounds how long a query may wait for a change.
	maxWait     = 30 * time.Second
	waitTimeout = maxWait + 5*time.Second
)

// orderJSON selects an order o with its payment p as a query.OrderView. It concatenates
// columns that hold JSON. Its argument is the origin that is put before payment URLs.
const orderJSON = `'{"id":"' || o.id || '","status":"' || o.status || '","customer_id":"' || o.customer || '",' || o.goods
	|| ',"payment":' || ifnull('{"id":"' || p.id || '","provider":' || p.provider || ',"status":"' || p.status || '","amount":' || p.amount
		|| ',"url":"' || iif(p.is_path, ?, '') || p.url || '"}', 'null')
	|| iif(o.cancel_reason = '', '', ',"cancel_reason":' || o.cancel_reason)
	|| ',"created_at":"' || o.created || '","updated_at":"' || o.updated || '"}'`

// readerArg returns the SQL argument that restricts orders to those that an actor may see:
// the actor's id, or nil for all.
func readerArg(a eventlog.Actor) any {
	if a.HasRole(events.StaffRoles...) {
		return nil
	}
	return a.ID
}

func findOrder(ordersView *projection.View) func(context.Context, query.Order, eventlog.Actor) (any, error) {
	const sql = `SELECT o.status, p.id IS NOT NULL, ` + orderJSON + ` FROM orders o LEFT JOIN payments p ON p.order_id = o.id
		WHERE o.id = ? AND o.customer = ifnull(?, o.customer)`
	return func(ctx context.Context, q query.Order, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(loggedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		var status string
		var payable bool
		var body []byte
		args := []any{unquoted(q.Origin), string(q.OrderID), readerArg(a)}
		err := wait(ctx, ordersView, q.OrderID, q.Await, func() (bool, error) {
			found, err := ordersView.Get(ctx, sql, args, &status, &payable, &body)
			return found && query.Settled(status, payable), err
		})
		if err == nil && body == nil {
			err = noSuchOrder(q.OrderID)
		}
		return body, err
	}
}

var statuses = []string{query.Placed, query.AwaitingPayment, query.Paid, query.Shipped, query.Delivered, query.Cancelled}

func listOrders(ordersView *projection.View) func(context.Context, query.Orders, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.Orders, a eventlog.Actor) (any, error) {
		if err := loggedIn(a); err != nil {
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
		if _, err := ordersView.Get(ctx, "SELECT count(*) FROM orders o "+where, args, &total); err != nil {
			return nil, err
		}
		args = append(append([]any{unquoted(q.Origin)}, args...), page.Limit, page.Offset())
		orders, err := service.JSONRows(ctx, ordersView, "SELECT "+orderJSON+" FROM orders o LEFT JOIN payments p ON p.order_id = o.id "+
			where+" ORDER BY o.placed DESC LIMIT ? OFFSET ?", args...)
		return query.NewList(orders, total, page), err
	}
}

func findTimeline(ordersView *projection.View) func(context.Context, query.OrderTimeline, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.OrderTimeline, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(loggedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		var entries []query.TimelineEntry
		err := ordersView.Each(ctx, `SELECT f.stream, f.sequence, f.type, f.time, f.actor, f.event_id, f.causation_id, f.data
			FROM facts f JOIN orders o ON o.id = f.order_id WHERE o.id = ? AND o.customer = ifnull(?, o.customer)
			ORDER BY f.stream, f.sequence`,
			[]any{string(q.OrderID), readerArg(a)}, func(scan func(...any) error) error {
				var e query.TimelineEntry
				var at string
				var data []byte
				if err := scan(&e.Stream, &e.Sequence, &e.Type, &at, &e.Actor, &e.EventID, &e.CausationID, &data); err != nil {
					return err
				}
				var err error
				e.Time, err = time.Parse(time.RFC3339Nano, at)
				e.Data = json.RawMessage(data)
				entries = append(entries, e)
				return err
			})
		if err == nil && len(entries) == 0 {
			err = noSuchOrder(q.OrderID)
		}
		return mergeStreams(entries), err
	}
}

func listStatuses(ordersView *projection.View) func(context.Context, query.OrderStatuses, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.OrderStatuses, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(loggedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		changes, exists := []query.StatusChange{}, false
		err := wait(ctx, ordersView, q.OrderID, q.Await, func() (bool, error) {
			err := ordersView.Each(ctx, `SELECT f.sequence, f.status, f.time FROM facts f JOIN orders o ON o.id = f.order_id
				WHERE o.id = ? AND o.customer = ifnull(?, o.customer) AND f.stream = 'ORDERS' AND f.status <> '' ORDER BY f.sequence`,
				[]any{string(q.OrderID), readerArg(a)}, func(scan func(...any) error) error {
					var c query.StatusChange
					var at string
					if err := scan(&c.Sequence, &c.Status, &at); err != nil {
						return err
					}
					var err error
					c.Time, err = time.Parse(time.RFC3339Nano, at)
					if exists = true; c.Sequence > q.After {
						changes = append(changes, c)
					}
					return err
				})
			return len(changes) > 0, err
		})
		if err == nil && !exists {
			err = noSuchOrder(q.OrderID)
		}
		return changes, err
	}
}

// wait calls try until it is done or ms milliseconds have passed, but no longer than maxWait.
// It calls it at once, and again whenever the view has committed an event about the order.
// It is nil when the time is over. Present gateways wait by themselves; this serves older
// ones, and callers over NATS.
func wait(ctx context.Context, ordersView *projection.View, id events.OrderID, ms int64, try func() (done bool, err error)) error {
	if ms <= 0 {
		_, err := try()
		return err
	}
	if err := service.ReleaseSlot(ctx); err != nil {
		return err
	}
	timeout := time.After(time.Duration(min(ms, maxWait.Milliseconds())) * time.Millisecond)
	for {
		changed, release := ordersView.Watch(string(id))
		done, err := try()
		if done || err != nil {
			release()
			return err
		}
		select {
		case <-changed:
		case <-timeout:
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
