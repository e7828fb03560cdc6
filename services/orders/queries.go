package orders

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
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
//
// The rows of earlier versions, which serve until the view is rebuilt, know nothing of refunds; they are
// selected by olderOrderJSON.
var (
	orderJSON      = orderJSONWith(`iif(ifnull(p.refunded, 0) = 0, '', ',"refunded":{"amount":' || p.refunded || ',"currency":"' || json_extract(p.amount, '$.currency') || '"}')`)
	olderOrderJSON = orderJSONWith(`''`)
)

func orderJSONWith(refunded string) string {
	return `'{"id":"' || ` + orderID + ` || '","status":"' || ` + statusText("o.status") + ` || '","customer_id":"' || ` + projection.ExpandID("usr_", "o.customer") + ` || '",' || o.goods
	|| ',"payment":' || ifnull('{"id":"' || ` + paymentID + ` || '","provider":' || p.provider || ',"status":"' || p.status || '","amount":' || p.amount
		|| ',"url":"' || iif(p.is_path, ?, '') || p.url || '"}', 'null')
	|| ` + refunded + `
	|| iif(o.cancel_reason = '', '', ',"cancel_reason":' || o.cancel_reason)
	|| ',"created_at":"' || o.created || '","updated_at":"' || o.updated || '"}'`
}

// selecting calls read with the SQL of a selection and, if the rows do not fit it, with the SQL for rows of
// earlier versions.
func selecting(selection func(orderJSON string) string, read func(sql string) error) error {
	err := read(selection(orderJSON))
	if errs.Is(err, errs.Unavailable) && read(selection(olderOrderJSON)) == nil {
		return nil
	}
	return err
}

var (
	orderID = projection.ExpandID("ord_", "o.id")
	// paymentID is that of events.PaymentFor, unless the row says otherwise.
	paymentID = `iif(p.id = '', 'pay_' || iif(typeof(o.id) = 'blob', lower(hex(o.id)), iif(substr(o.id, 1, 4) = 'ord_', substr(o.id, 5), o.id)), ` +
		projection.ExpandID("pay_", "p.id") + `)`
)

// statusText returns the SQL for the status whose place in statuses a column holds.
func statusText(column string) string {
	sql := "CASE " + column
	for i, status := range statuses {
		sql += fmt.Sprintf(" WHEN %d THEN '%s'", i, status)
	}
	return sql + " END"
}

// readerArg returns the SQL argument that restricts orders to those that an actor may see:
// the actor's id, or nil for all.
func readerArg(a eventlog.Actor) any {
	if a.HasRole(events.StaffRoles...) {
		return nil
	}
	return customerKey(a.ID)
}

func findOrder(ordersView *projection.View) func(context.Context, query.Order, eventlog.Actor) (any, error) {
	selection := func(orderJSON string) string {
		return `SELECT ` + statusText("o.status") + `, ifnull(p.url != '', false), ` + orderJSON + ` FROM placed_orders o LEFT JOIN payments p ON p.order_id = o.id
			WHERE o.id = ? AND o.customer = ifnull(?, o.customer)`
	}
	return func(ctx context.Context, q query.Order, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(loggedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		var status string
		var payable bool
		var body []byte
		args := []any{unquoted(q.Origin), orderKey(q.OrderID), readerArg(a)}
		err := wait(ctx, ordersView, q.OrderID, q.Await, func() (found bool, err error) {
			err = selecting(selection, func(sql string) error {
				found, err = ordersView.Get(ctx, sql, args, &status, &payable, &body)
				return err
			})
			return found && query.Settled(status, payable), err
		})
		if err == nil && body == nil {
			err = noSuchOrder(q.OrderID)
		}
		return body, err
	}
}

// selection is which orders a list has. A member that is "" selects any.
type selection struct{ customer, status string }

// selectionOf returns the orders that a query asks for and the actor may see. It is false when
// there are none such.
func selectionOf(q query.Orders, a eventlog.Actor) (s selection, some bool, err error) {
	s = selection{string(q.Customer), q.Status}
	if s.customer != "" {
		err = events.Token("customer_id", q.Customer)
	}
	if s.status != "" && !slices.Contains(statuses, s.status) {
		err = cmp.Or(err, error(errs.InvalidField("status", "must be one of %s", strings.Join(statuses, ", "))))
	}
	if !a.HasRole(events.StaffRoles...) {
		some, s.customer = s.customer == "" || s.customer == a.ID, a.ID
		return s, some, err
	}
	return s, true, err
}

// where returns the condition for the orders. With each one, an index is sorted by the number.
func (s selection) where() (sql string, args []any) {
	sql = "true"
	if s.customer != "" {
		sql, args = sql+" AND customer = ?", append(args, customerKey(s.customer))
	}
	if s.status != "" {
		sql, args = sql+" AND status = ?", append(args, slices.Index(statuses, s.status))
	}
	return sql, args
}

// listOrders counts and finds orders in an index alone, and then reads the rows of one page.
func listOrders(ordersView *projection.View) func(context.Context, query.Orders, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.Orders, a eventlog.Actor) (any, error) {
		if err := loggedIn(a); err != nil {
			return nil, err
		}
		selected, some, err := selectionOf(q, a)
		if err != nil {
			return nil, err
		}
		page, err := query.SectionOf[int64](q.Page, "orders.orders", selected.customer, selected.status)
		if err != nil {
			return nil, err
		}
		if !some {
			return query.NewList[json.RawMessage](nil, 0, page, ""), nil
		}
		var total int
		where, args := selected.where()
		if _, err := ordersView.Get(ctx, "SELECT count(*) FROM (SELECT 1 FROM placed_orders WHERE "+where+" LIMIT ?)", append(args, query.CountAtMost), &total); err != nil {
			return nil, err
		}
		before := int64(math.MaxInt64)
		if page.Begins != nil {
			before = *page.Begins
		}
		args = append(append([]any{unquoted(q.Origin)}, args...), before, page.Limit+1, page.Offset)
		var orders service.Rows[int64]
		err = selecting(func(orderJSON string) string {
			return "SELECT o.number, " + orderJSON +
				" FROM (SELECT number FROM placed_orders WHERE " + where + " AND number < ? ORDER BY number DESC LIMIT ? OFFSET ?) found JOIN placed_orders o ON o.number = found.number" +
				" LEFT JOIN payments p ON p.order_id = o.id ORDER BY o.number DESC"
		}, func(sql string) (err error) {
			orders, err = service.ListRows(ctx, ordersView, page.Limit, sql, args, func(number *int64) []any { return []any{number} })
			return err
		})
		return query.NewList(orders.JSON, total, page, page.Next(orders.Last, orders.More)), err
	}
}

func listStatuses(ordersView *projection.View) func(context.Context, query.OrderStatuses, eventlog.Actor) (any, error) {
	return func(ctx context.Context, q query.OrderStatuses, a eventlog.Actor) (any, error) {
		if err := events.FirstOf(loggedIn(a), events.Token("order_id", q.OrderID)); err != nil {
			return nil, err
		}
		changes, exists := []query.StatusChange{}, false
		err := wait(ctx, ordersView, q.OrderID, q.Await, func() (bool, error) {
			err := ordersView.Each(ctx, `SELECT f.sequence, `+statusText("f.status")+`, f.time FROM positions f JOIN placed_orders o ON o.id = f.order_id
				WHERE o.id = ? AND o.customer = ifnull(?, o.customer) AND f.stream = ? AND f.status IS NOT NULL ORDER BY f.sequence`,
				[]any{orderKey(q.OrderID), readerArg(a), slices.Index(streams, "ORDERS")}, func(scan func(...any) error) error {
					var c query.StatusChange
					var at any
					var number uint64
					if err := scan(&number, &c.Status, &at); err != nil {
						return err
					}
					c.Sequence = ordersView.Place("ORDERS", number).Sequence
					var err error
					c.Time, err = parseTime(at)
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
