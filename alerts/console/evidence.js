// How does a court or an auditor get the evidence of an alert without a shell? The file comes as the server made it.
"use strict";

const byId = (id) => document.getElementById(id);
const WITHIN_MS = 720_000; // the server sends for ten minutes at most, and reads the largest package in less than two
const SEAL = '{"kind":"seal","sha256":"';
const SEAL_LINE_BYTES = SEAL.length + 64 + 3;
const SENTENCES = {
  unauthorized: "Ce jeton n'est pas accepté.",
  forbidden: "Votre rôle ne permet pas de prendre un dossier de preuve.",
  "unknown-alert": "Il n'y a pas d'alerte de ce nom.",
  "not-recorded": "L'alerte n'est pas encore au registre : réessayez dans quelques secondes.",
  "evidence-broken": "Ce que contient le registre ne peut pas être écrit comme preuve : prévenez l'exploitant.",
  "evidence-too-large": "Ce dossier est trop volumineux pour être pris ici : demandez à l'exploitant de l'exporter.",
  "evidence-busy": "D'autres dossiers sont en cours de téléchargement : réessayez dans quelques minutes.",
  "evidence-unavailable": "Cette installation ne peut pas établir de dossier de preuve : prévenez l'exploitant.",
  "record-unavailable": "Le registre ne répond pas : réessayez.",
  "purpose-missing": "Indiquez le motif de la demande.",
  "invalid-request": "La demande n'est pas valable : vérifiez le nom de l'alerte et la forme du motif (audit:2026-113).",
  "not-ready": "Le serveur démarre : réessayez dans quelques secondes.",
};

// A file that ends before its seal is no package: the line was cut.
async function isWhole(file) {
  return (await file.slice(-SEAL_LINE_BYTES).text()).startsWith(SEAL);
}

async function fetched(alert) {
  const headers = { "Tocsin-Purpose": byId("purpose").value };
  if (byId("token").value) headers.Authorization = `Bearer ${byId("token").value}`;
  const answer = await fetch(`/api/v1/alerts/${encodeURIComponent(alert)}/evidence`, {
    headers, cache: "no-store", signal: AbortSignal.timeout(WITHIN_MS),
  });
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(SENTENCES[problem.type?.slice("/problems/".length)] ?? problem.title ?? `HTTP ${answer.status}`);
  }
  const file = await answer.blob();
  if (!(await isWhole(file))) throw new Error("Le fichier est incomplet : réessayez.");
  return file;
}

function saved(file, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), WITHIN_MS);
}

async function take(event) {
  event.preventDefault();
  const alert = byId("alert").value.trim();
  byId("said").textContent = "…";
  try {
    saved(await fetched(alert), `${alert}.jsonl`);
    sessionStorage.setItem("tocsin-token", byId("token").value);
    byId("said").textContent = `${alert}.jsonl est téléchargé.`;
  } catch (error) {
    byId("said").textContent = error.name === "TimeoutError" ? "Le serveur ne répond pas." : error.message;
  }
}

document.addEventListener("DOMContentLoaded", () => {
  byId("token").value = sessionStorage.getItem("tocsin-token") ?? "";
  byId("alert").value = new URLSearchParams(location.search).get("alert") ?? "";
  byId("take").addEventListener("submit", take);
});
