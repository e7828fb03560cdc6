package inventory

import (
	"encoding/json"
	"maps"
	"slices"

	"lonja/events"
	"lonja/kit/decider"
)

// ledgerSnapshot keeps ledgers on the disk. See TestLedger_GoldenFold on when to change the
// version.
func ledgerSnapshot(keeps int) *decider.Snapshot[*ledger] {
	return &decider.Snapshot[*ledger]{Version: 2, Encode: encodeLedger,
		Decode: func(data []byte) (*ledger, error) { return decodeLedger(data, keeps) }}
}

// ledgerImage is a ledger as a snapshot holds it.
type ledgerImage struct {
	Levels  []events.Level
	Orders  []orderImage
	Settled []settledOrder
	Floor   uint64
}

type orderImage struct {
	ID       events.OrderID
	Status   status
	Lines    []events.Quantity `json:",omitempty"`
	Sequence uint64

	Restocked []events.RefundID `json:",omitempty"`
}

// encodeLedger returns a function that writes the ledger as it is now: the same bytes for the same
// ledger. An order's lines never change, and settled only gets more.
func encodeLedger(l *ledger) func() ([]byte, error) {
	now := &ledger{levels: maps.Clone(l.levels), orders: maps.Clone(l.orders), settled: l.settled, floor: l.floor}
	return now.encode
}

func (l *ledger) encode() ([]byte, error) {
	image := ledgerImage{Settled: l.settled, Floor: l.floor}
	for _, sku := range slices.Sorted(maps.Keys(l.levels)) {
		image.Levels = append(image.Levels, l.levels[sku])
	}
	for _, id := range slices.Sorted(maps.Keys(l.orders)) {
		o := l.orders[id]
		image.Orders = append(image.Orders, orderImage{id, o.status, o.lines, o.sequence, o.restocked})
	}
	return json.Marshal(image)
}

// decodeLedger reads what encodeLedger wrote. Both ledgers keep equally many orders.
func decodeLedger(data []byte, keeps int) (*ledger, error) {
	var image ledgerImage
	if err := json.Unmarshal(data, &image); err != nil {
		return nil, err
	}
	l := newLedger(keeps)
	for _, level := range image.Levels {
		l.levels[level.SKU] = level
	}
	for _, o := range image.Orders {
		l.orders[o.ID] = order{o.Status, o.Lines, o.Restocked, o.Sequence}
	}
	l.settled, l.floor = image.Settled, image.Floor
	return l, nil
}
