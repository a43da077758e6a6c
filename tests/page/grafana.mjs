// The charts of the page as a dashboard for Grafana, on a Prometheus that reads `/metrics`.

const ACROSS = 3;
const [WIDTH, HEIGHT] = [24 / ACROSS, 8];

export function dashboard(charts, settings) {
  return {
    __inputs: [{ name: "DS_PROMETHEUS", label: "Prometheus", type: "datasource", pluginId: "prometheus", pluginName: "Prometheus" }],
    __requires: [
      { type: "grafana", id: "grafana", name: "Grafana", version: "10.0.0" },
      { type: "datasource", id: "prometheus", name: "Prometheus", version: "1.0.0" },
      { type: "panel", id: "timeseries", name: "Time series", version: "" },
    ],
    uid: "tidegate",
    title: "Tidegate",
    description: "The charts of the local run's page, of GET /metrics",
    tags: ["tidegate"],
    schemaVersion: 38,
    version: 1,
    editable: true,
    timezone: "browser",
    time: { from: "now-10m", to: "now" },
    refresh: "10s",
    panels: charts.map((chart, index) => panel(chart, index, settings)),
  };
}

function panel({ title, unit, limit, lines }, index, settings) {
  const datasource = { type: "prometheus", uid: "${DS_PROMETHEUS}" };
  const line = { color: "red", value: settings[limit] };
  return {
    id: index + 1,
    type: "timeseries",
    title,
    datasource,
    gridPos: { x: (index % ACROSS) * WIDTH, y: Math.floor(index / ACROSS) * HEIGHT, w: WIDTH, h: HEIGHT },
    fieldConfig: {
      defaults: {
        unit: unit ?? "short",
        min: 0,
        custom: { ...(limit && { thresholdsStyle: { mode: "dashed" } }) },
        thresholds: { mode: "absolute", steps: [{ color: "green", value: null }, ...(limit ? [line] : [])] },
      },
      overrides: [],
    },
    options: { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi" } },
    targets: lines.map((line, letter) => ({
      refId: String.fromCharCode(65 + letter),
      datasource,
      expr: query(line),
      legendFormat: line.label,
    })),
  };
}

function query({ kind, metric, quantile }) {
  const name = `tidegate_${metric}`;
  if (kind === "rate") return `rate(${name}[$__rate_interval])`;
  // Where nothing was measured in the last minute, a percentile is 0.
  return kind === "gauge" ? name : `${name}{quantile="${quantile}"} > 0`;
}
