package inventory

import (
	"fmt"
	"strconv"
	"strings"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The reservations view holds every order that the ledger has ever seen, as it stands there. The
// ledger itself forgets what is over, so decisions ask the view about older orders.
//
// Status is a status of the ledger. Lines are empty unless they are reserved or committed; after them
// come the refunds with which pieces came back.
// Sequence is that of the order's last event, and reserved the number of stock.reserved (eventlog.Record.Number). Both reserved and
// expires (microseconds since 1970) are 0 for an order that never was reserved.
var reservationsDefinition = projection.Definition{
	Name: "reservations",
	Schema: `
CREATE TABLE orders (
	id       TEXT PRIMARY KEY,
	status   INTEGER NOT NULL,
	lines    TEXT NOT NULL,
	sequence INTEGER NOT NULL,
	reserved INTEGER NOT NULL,
	expires  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX due ON orders (expires, reserved) WHERE status = 1;`,
	Reads:    []projection.Source{{Stream: "INVENTORY", Subjects: []string{"events.stock.>"}}},
	Project:  projectOrder,
	Commands: true, // the ledger forgets them
}

// unpaid selects the reservations that are still held; see service.Timer. Status 1 is reserved.
const unpaid = `SELECT expires, reserved FROM orders WHERE status = 1 AND (expires, reserved) > (?1, ?2)
	ORDER BY expires, reserved LIMIT ?3`

func projectOrder(tx *projection.Tx, r eventlog.Record) error {
	id, o, ok := orderAfter(r.Event)
	if !ok {
		return nil
	}
	lines := formatLines(o)
	if e, is := r.Event.(events.StockReserved); is {
		return tx.Exec(`INSERT INTO orders (id, status, lines, sequence, reserved, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
			ON CONFLICT (id) DO UPDATE SET status = ?2, lines = ?3, sequence = ?4, reserved = ?5, expires = ?6`,
			string(id), int64(o.status), lines, int64(r.Sequence), int64(r.Number), e.ExpiresAt.UnixMicro())
	}
	return tx.Exec(`INSERT INTO orders (id, status, lines, sequence, reserved, expires) VALUES (?1, ?2, ?3, ?4, 0, 0)
		ON CONFLICT (id) DO UPDATE SET status = ?2, lines = ?3, sequence = ?4`,
		string(id), int64(o.status), lines, int64(r.Sequence))
}

// formatLines writes an order's lines and restocked refunds as the rows hold them: "lamp:5 vase:1 +ref_1".
func formatLines(o order) string {
	var b strings.Builder
	for _, line := range o.lines {
		b.WriteByte(' ')
		b.WriteString(string(line.SKU))
		b.WriteByte(':')
		b.WriteString(strconv.FormatInt(line.Quantity, 10))
	}
	for _, refund := range o.restocked {
		b.WriteString(" +")
		b.WriteString(string(refund))
	}
	return strings.TrimPrefix(b.String(), " ")
}

// parseLines reads what formatLines wrote into an order.
func parseLines(s string, o *order) error {
	for part := range strings.FieldsSeq(s) {
		if refund, is := strings.CutPrefix(part, "+"); is {
			o.restocked = append(o.restocked, events.RefundID(refund))
			continue
		}
		sku, n, _ := strings.Cut(part, ":")
		quantity, err := strconv.ParseInt(n, 10, 64)
		if err != nil {
			return fmt.Errorf("lines %q of an order: %w", s, err)
		}
		o.lines = append(o.lines, events.Quantity{SKU: events.SKU(sku), Quantity: quantity})
	}
	return nil
}
