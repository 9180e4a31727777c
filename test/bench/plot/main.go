// Plot draws the report of a bench as SVG.
package main

import (
	"encoding/json"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// report is what is drawn of the bench's.
type report struct {
	Source []struct {
		Transport string   `json:"transport"`
		Size      int      `json:"bytes"`
		InFlight  int      `json:"inFlight"`
		Results   []result `json:"results"`
	} `json:"source"`
	Sink []struct {
		Transport   string   `json:"transport"`
		Mode        string   `json:"mode"`
		Size        int      `json:"bytes"`
		Connections int      `json:"connections"`
		Results     []result `json:"results"`
	} `json:"sink"`
	Curves []struct {
		Name   string `json:"name"`
		Unit   string `json:"unit"`
		Buffer string `json:"buffer"`
		Points []struct {
			X   int    `json:"x"`
			CPU spread `json:"cpuMicrosecondsPerEvent"`
		} `json:"points"`
	} `json:"curves"`
}

type result struct {
	Subject string `json:"subject"`
	Rate    spread `json:"eventsPerSecond"`
	CPU     spread `json:"cpuMicrosecondsPerEvent"`
}

type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: plot folder\n\nIt draws the report.json of a folder beside it.")
		os.Exit(2)
	}
	if err := draw(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func draw(folder string) error {
	content, err := os.ReadFile(filepath.Join(folder, "report.json")) //nolint:gosec // the path that was asked for
	if err != nil {
		return err
	}
	var r report
	if err := json.Unmarshal(content, &r); err != nil {
		return err
	}
	for _, c := range r.Source {
		if c.Size == 1<<10 && c.InFlight == 16 {
			title := fmt.Sprintf("Source over %s, 1 KiB, 16 in flight", c.Transport)
			if err := bars(title, c.Results, filepath.Join(folder, "source-"+c.Transport+".svg")); err != nil {
				return err
			}
		}
	}
	for _, c := range r.Sink {
		if c.Size == 1<<10 && c.Connections == 64 && c.Mode == "binary" {
			title := fmt.Sprintf("Sink over %s, 1 KiB, 64 connections", c.Transport)
			if err := bars(title, c.Results, filepath.Join(folder, "sink-"+c.Transport+".svg")); err != nil {
				return err
			}
		}
	}
	for _, c := range r.Curves {
		points := make(line, len(c.Points))
		for i, p := range c.Points {
			points[i] = point{float64(p.X), p.CPU}
		}
		title := fmt.Sprintf("Source, %s: cost over %s", c.Buffer, c.Name)
		if err := curve(title, c.Unit, points, filepath.Join(folder, "curve-"+c.Name+".svg")); err != nil {
			return err
		}
	}
	return nil
}

var (
	own   = color.RGBA{R: 0x1f, G: 0x6f, B: 0xb4, A: 0xff}
	floor = color.RGBA{R: 0xb0, G: 0xb0, B: 0xb0, A: 0xff}
)

const (
	width  = 16 * vg.Centimeter
	height = 8 * vg.Centimeter
)

// newPlot has a white ground, since pages may be dark.
func newPlot(title, unit string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.X.Min = title, unit, 0
	p.Add(plotter.NewGrid())
	return p
}

// bars shows what an event costs each subject: the floors are the two lightest, and grey.
func bars(title string, results []result, path string) error {
	p := newPlot(title, "CPU, µs per event")
	names := make([]string, len(results))
	for i, r := range results {
		names[i] = strings.TrimPrefix(r.Subject, "floor: ")
		bar, err := plotter.NewBarChart(plotter.Values{r.CPU.Median}, vg.Points(20))
		if err != nil {
			return err
		}
		bar.Horizontal, bar.XMin, bar.Color, bar.LineStyle.Width = true, float64(i), own, 0
		if strings.HasPrefix(r.Subject, "floor: ") {
			bar.Color = floor
		}
		p.Add(bar)
	}
	p.NominalY(names...)
	p.X.Max *= 1.05 // room beside the longest bar
	return p.Save(width, height, path)
}

type point struct {
	x float64
	y spread
}

// line is a curve, and the spread at each of its points.
type line []point

func (l line) Len() int                { return len(l) }
func (l line) XY(i int) (x, y float64) { return l[i].x, l[i].y.Median }
func (l line) YError(i int) (low, high float64) {
	return l[i].y.Median - l[i].y.Min, l[i].y.Max - l[i].y.Median
}

func curve(title, unit string, points line, path string) error {
	p := newPlot(title, unit)
	p.Y.Label.Text, p.Y.Min = "CPU, µs per event", 0
	through, dots, err := plotter.NewLinePoints(points)
	if err != nil {
		return err
	}
	through.Color, dots.Color = own, own
	spreads, err := plotter.NewYErrorBars(points)
	if err != nil {
		return err
	}
	p.Add(through, dots, spreads)
	return p.Save(width, height, path)
}
