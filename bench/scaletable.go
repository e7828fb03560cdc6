package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// scaleTable collects figures: a row for each measurement, a column for each number of orders.
type scaleTable struct {
	rows   []string
	orders []int
	cells  map[string]map[int]string
	rates  map[string]map[int]float64
}

// add records a figure and prints it, since the whole table takes long to come.
func (t *scaleTable) add(orders int, row, figure string) {
	if t.cells == nil {
		t.cells = map[string]map[int]string{}
	}
	if !slices.Contains(t.rows, row) {
		t.rows = append(t.rows, row)
	}
	if !slices.Contains(t.orders, orders) {
		t.orders = append(t.orders, orders)
	}
	if t.cells[row] == nil {
		t.cells[row] = map[int]string{}
	}
	t.cells[row][orders] = figure
	fmt.Printf("%8s orders  %-34s %s\n", inWords(orders), row, figure)
}

// addRate records a rate with a remark, and by how much it differs from that with the fewest
// orders.
func (t *scaleTable) addRate(orders int, row string, rate float64, remark string) {
	figure := fmt.Sprintf("%.0f/s", rate)
	if t.rates == nil {
		t.rates = map[string]map[int]float64{}
	}
	if t.rates[row] == nil {
		t.rates[row] = map[int]float64{}
	}
	if first := t.rates[row][slices.Min(append(t.orders, orders))]; first > 0 {
		figure += fmt.Sprintf(" (%+.0f%%)", 100*(rate/first-1))
	}
	t.rates[row][orders] = rate
	t.add(orders, row, figure+", "+remark)
}

// print prints all figures as one table, which is Markdown if asked for.
func (t *scaleTable) print(markdown bool) error {
	cells := [][]string{{""}}
	for _, n := range t.orders {
		cells[0] = append(cells[0], inWords(n))
	}
	cells[0] = append(cells[0], "aim")
	for _, row := range t.rows {
		line := []string{row}
		for _, n := range t.orders {
			line = append(line, t.cells[row][n])
		}
		cells = append(cells, append(line, aimOf(row)))
	}
	fmt.Println()
	if markdown {
		for i, line := range cells {
			fmt.Println("| " + strings.Join(line, " | ") + " |")
			if i == 0 {
				fmt.Println(strings.Repeat("| --- ", len(line)) + "|")
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, line := range cells {
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	return w.Flush()
}
